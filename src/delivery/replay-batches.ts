/** Carries replays out, batch by batch. */
import type { Sql } from "../db/database.ts";
import { advanceReplay, listOpenReplays, type Replay } from "./replay-store.ts";

/** Some hundred milliseconds of one transaction. */
const BATCH = 5_000;

/** The first batch: all there is to do in most replays. */
export function beginReplay(sql: Sql, id: string): Promise<Replay> {
  return advanceReplay(sql, id, BATCH);
}

/** To its end, unless the signal aborts. @param onBatch told after each batch */
export async function finishReplay(
  sql: Sql,
  id: string,
  onBatch: (replay: Replay) => void,
  signal?: AbortSignal,
): Promise<void> {
  for (;;) {
    const replay = await advanceReplay(sql, id, BATCH);
    onBatch(replay);
    if (replay.finishedAt !== null || signal?.aborted === true) return;
  }
}

/** Goes on with every replay that is not finished. @param onFinished told of each that is now */
export async function finishOpenReplays(
  sql: Sql,
  parts: { readonly onBatch: () => void; readonly onFinished: (replay: Replay) => void },
  signal: AbortSignal,
): Promise<void> {
  for (const id of await listOpenReplays(sql)) {
    if (signal.aborted) return;
    const onBatch = (replay: Replay) => {
      parts.onBatch();
      if (replay.finishedAt !== null) parts.onFinished(replay);
    };
    await finishReplay(sql, id, onBatch, signal);
  }
}
