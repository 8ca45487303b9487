/** A sleep that somebody can end: "look now" without a queue. A wake while nobody sleeps ends the next sleep at once. */
import type { Clock } from "./clock.ts";

export interface Wakeup {
  wake(): void;
  /** Resolves after `ms`, at a wake, or when the signal aborts. */
  sleep(ms: number, signal: AbortSignal): Promise<void>;
}

export function createWakeup(clock: Clock): Wakeup {
  let isAwake = false;
  let sleeper: AbortController | undefined;
  return {
    wake: () => {
      isAwake = true;
      sleeper?.abort();
    },
    sleep: async (ms, signal) => {
      if (!isAwake) {
        sleeper = new AbortController();
        await clock.sleep(ms, AbortSignal.any([signal, sleeper.signal]));
        sleeper = undefined;
      }
      isAwake = false;
    },
  };
}
