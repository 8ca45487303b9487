/**
 * Time limits for thousands of requests a second. A timer with its abort signal for each costs as much as a third
 * of the request itself (40 µs measured); one tick for all of them costs nothing, and ends a request up to one
 * tick late.
 */
import type { Clock } from "../runtime/clock.ts";

const TICK_MS = 20;

export interface Deadlines {
  /**
   * Calls `onDue` once, `ms` from now or a little later, and tells it how many milliseconds later: much, when this
   * process was frozen.
   *
   * @returns calls it off
   */
  set(ms: number, onDue: (lateMs: number) => void): () => void;
}

interface Deadline {
  readonly at: number;
  /** `undefined`: called off, or told. */
  onDue: ((lateMs: number) => void) | undefined;
}

/**
 * What was called off stays in the list until the next tick, with nothing hanging on it. A `Set` would do without, but
 * each table it grows out of keeps the next one, and so every request that was in it, until the whole heap is
 * collected: that took more time than all the rest of a callback.
 */
export function createDeadlines(clock: Clock): Deadlines {
  let waiting: Deadline[] = [];
  let isTicking = false;

  async function tick(): Promise<void> {
    while (waiting.length > 0) {
      await clock.sleep(TICK_MS);
      const now = clock.monotonic();
      const due = waiting.filter((each) => each.at <= now);
      waiting = waiting.filter((each) => each.at > now && each.onDue !== undefined);
      for (const each of due) {
        const { onDue } = each;
        each.onDue = undefined;
        onDue?.(now - each.at);
      }
    }
    isTicking = false;
  }

  return {
    set: (ms, onDue) => {
      const deadline: Deadline = { at: clock.monotonic() + ms, onDue };
      waiting.push(deadline);
      if (!isTicking) {
        isTicking = true;
        void tick();
      }
      return () => {
        deadline.onDue = undefined;
      };
    },
  };
}
