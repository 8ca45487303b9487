/** A clock that stands still until the test moves it. */
import type { Clock } from "../runtime/clock.ts";

export interface FakeClock extends Clock {
  /** Moves the time, and wakes each sleeper at its own moment, in order. */
  advance(ms: number): Promise<void>;
  /** How long each sleeper still sleeps, shortest first. */
  sleepers(): number[];
}

interface Sleeper {
  readonly at: number;
  readonly wake: () => void;
}

export function createFakeClock(startMs = 1_700_000_000_000): FakeClock {
  let now = startMs;
  const sleepers = new Set<Sleeper>();
  const inOrder = () => [...sleepers].sort((a, b) => a.at - b.at);
  return {
    now: () => now,
    monotonic: () => now - startMs,
    sleep: (ms, signal) =>
      new Promise((resolve) => {
        if (signal?.aborted === true) return resolve();
        const wake = () => {
          sleepers.delete(sleeper);
          signal?.removeEventListener("abort", wake);
          resolve();
        };
        const sleeper = { at: now + ms, wake };
        sleepers.add(sleeper);
        signal?.addEventListener("abort", wake, { once: true });
      }),
    advance: async (ms) => {
      const until = now + ms;
      await settle();
      for (let next = inOrder()[0]; next !== undefined && next.at <= until; next = inOrder()[0]) {
        now = Math.max(now, next.at);
        next.wake();
        await settle();
      }
      now = until;
    },
    sleepers: () => inOrder().map((sleeper) => sleeper.at - now),
  };
}

/** Lets everything run that needs no time: what was just woken may go to sleep again. */
async function settle(): Promise<void> {
  for (let turn = 0; turn < 10; turn++) await new Promise((resolve) => setImmediate(resolve));
}
