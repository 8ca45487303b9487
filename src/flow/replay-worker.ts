/** [tx per batch] Goes on with replays that were ordered and are not finished, those of a process that died too. */
import type { Sql } from "../db/database.ts";
import { finishOpenReplays } from "../delivery/replay-batches.ts";
import type { Clock } from "../runtime/clock.ts";
import type { Logger } from "../runtime/logger.ts";

export async function workReplays(
  parts: {
    readonly database: Sql;
    readonly sweepIntervalMs: number;
    /** There are deliveries to make. */
    readonly wakeDeliverer: () => void;
    readonly clock: Clock;
    readonly logger: Logger;
  },
  signal: AbortSignal,
): Promise<void> {
  const onFinished = (replay: { id: string; endpointId: string; done: number }) =>
    parts.logger.info("Finished a replay", {
      replay_id: replay.id,
      endpoint_id: replay.endpointId,
      delivery_count: replay.done,
    });
  while (!signal.aborted) {
    await finishOpenReplays(parts.database, { onBatch: parts.wakeDeliverer, onFinished }, signal);
    await parts.clock.sleep(parts.sweepIntervalMs, signal);
  }
}
