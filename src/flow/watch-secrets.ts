/**
 * Whether the secrets of endpoints can be opened with the keys at hand: looked at once at the start, whenever one could
 * not be, and every minute while some cannot. One line when that begins and one when it is over, however many callbacks
 * wait for it.
 */
import type { Sql } from "../db/database.ts";
import { countSealed, type SealedCounts } from "../delivery/endpoint-secret-store.ts";
import type { Clock } from "../runtime/clock.ts";
import type { Logger } from "../runtime/logger.ts";
import type { SecretBox } from "../runtime/secret-box.ts";
import { createWakeup } from "../runtime/wakeup.ts";

export interface SecretsWatch {
  /** Some could not be opened. */
  lookSoon(): void;
  /** Looks until the signal aborts. @throws what the database throws */
  run(signal: AbortSignal): Promise<void>;
  /** As of the last look; `null` before the first. */
  readonly counts: SealedCounts | null;
}

const LOOK_AGAIN_MS = 60_000;
/** While all is well: until it is woken. */
const REST_MS = 86_400_000;

/** As the log and `doctor` say it. */
export const SECRETS_ADVICE =
  "Set DEPOSITD_SECRET_KEY to the key of before, or name that in DEPOSITD_OLD_SECRET_KEYS.";

export function createSecretsWatch(parts: {
  readonly sql: Sql;
  readonly secretBox: SecretBox;
  readonly clock: Clock;
  readonly logger: Logger;
}): SecretsWatch {
  const { sql, secretBox, clock, logger } = parts;
  const wakeup = createWakeup(clock);
  let counts: SealedCounts | null = null;

  async function look(): Promise<void> {
    const lostBefore = counts?.lost ?? 0;
    counts = await countSealed(sql, secretBox);
    const { lost, total, lostKeyIds } = counts;
    if (lost > 0 && lostBefore === 0) {
      logger.error("Found secrets of endpoints that cannot be opened; their callbacks wait", {
        endpoint_count: lost,
        of_endpoints: total,
        key_id: secretBox.keyId,
        wanted_key_ids: lostKeyIds,
        advice: SECRETS_ADVICE,
      });
    } else if (lost === 0 && lostBefore > 0)
      logger.info("Opened the secrets of all endpoints; their callbacks go on", { of_endpoints: total });
  }

  return {
    lookSoon: () => {
      // While some are known to be lost, the minute will do.
      if ((counts?.lost ?? 0) === 0) wakeup.wake();
    },
    run: async (signal) => {
      while (!signal.aborted) {
        await look();
        await wakeup.sleep((counts?.lost ?? 0) > 0 ? LOOK_AGAIN_MS : REST_MS, signal);
      }
    },
    get counts() {
      return counts;
    },
  };
}
