/** Ctrl-C, a signal, a closed terminal, a reader that went away: each ends the demo in order. */

import { systemClock } from "../../src/runtime/clock.ts";

export class Interrupted extends Error {
  readonly exitCode: number;

  constructor(exitCode: number) {
    super("The demo was interrupted");
    this.exitCode = exitCode;
  }
}

const SIGNAL_NUMBERS = { SIGHUP: 1, SIGINT: 2, SIGTERM: 15 } as const;

/** Ctrl-C often arrives twice at once: from the terminal, and again from npm. */
const IMPATIENT_AFTER_MS = 1_000;

/** Rejects with `Interrupted`. A second Ctrl-C leaves at once; the stagehand clears up all the same. */
export function untilInterrupted(): Promise<never> {
  let interruptedAt: number | undefined;
  const interrupted = new Promise<never>((_, reject) => {
    const interrupt = (exitCode: number) => {
      const now = systemClock.monotonic();
      interruptedAt ??= now;
      if (now - interruptedAt > IMPATIENT_AFTER_MS) process.exit(exitCode);
      reject(new Interrupted(exitCode));
    };
    for (const [signal, number] of Object.entries(SIGNAL_NUMBERS)) {
      process.on(signal, () => interrupt(128 + number));
    }
    // `npm run demo | head`: nobody reads on.
    process.stdout.on("error", () => reject(new Interrupted(1)));
  });
  // Whoever waits for it hears of it.
  interrupted.catch(() => undefined);
  return interrupted;
}
