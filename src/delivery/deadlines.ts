/**
 * Time limits for thousands of requests a second. A timer with its abort signal for each costs as much as a third
 * of the request itself (40 µs measured); one tick for all of them costs nothing, and ends a request up to one
 * tick late.
 */
import type { Clock } from "../runtime/clock.ts";

const TICK_MS = 20;

/** What has a time limit. */
export interface Timed {
  /**
   * When it is over, by the monotonic clock. It may be moved at any time, as it is looked at in each tick; with
   * `Infinity` it is called off for good.
   */
  dueAt: number;
  /**
   * Called once, at its time or a little later.
   *
   * @param lateMs milliseconds after it: many, when this process was frozen
   */
  fallDue(lateMs: number): void;
}

export interface Deadlines {
  watch(timed: Timed): void;
}

/**
 * What was called off stays in the list until the next tick. A `Set` would do without, but each table it grows out of
 * keeps the next one, and so every request that was in it, until the whole heap is collected: that took more time than
 * all the rest of a callback.
 */
export function createDeadlines(clock: Clock): Deadlines {
  let waiting: Timed[] = [];
  let isTicking = false;

  async function tick(): Promise<void> {
    while (waiting.length > 0) {
      await clock.sleep(TICK_MS);
      const now = clock.monotonic();
      const due = waiting.filter(({ dueAt }) => dueAt <= now);
      waiting = waiting.filter(({ dueAt }) => dueAt > now && dueAt < Number.POSITIVE_INFINITY);
      for (const timed of due) {
        const lateMs = now - timed.dueAt;
        // It was moved or called off by one before it.
        if (lateMs < 0) waiting.push(timed);
        else {
          timed.dueAt = Number.POSITIVE_INFINITY;
          timed.fallDue(lateMs);
        }
      }
    }
    isTicking = false;
  }

  return {
    watch: (timed) => {
      waiting.push(timed);
      if (isTicking) return;
      isTicking = true;
      void tick();
    },
  };
}
