/** Tests wait for a condition, never for a time. */
import { systemClock } from "../runtime/clock.ts";

/** On a loaded machine a process takes seconds to do what takes milliseconds otherwise. */
const PATIENCE_MS = 30_000;

export interface WaitOptions {
  readonly timeoutMs?: number;
  readonly intervalMs?: number;
  /** For the error: what was waited for. */
  readonly what?: string;
}

/**
 * Asks until the condition answers something other than `false`, `null` and `undefined`, and answers that.
 *
 * @throws Error after `timeoutMs`, with the last error of the condition if it threw
 */
export async function waitFor<Result>(
  condition: () => Result | Promise<Result>,
  options: WaitOptions = {},
): Promise<Exclude<Result, false | null | undefined>> {
  const { timeoutMs = PATIENCE_MS, intervalMs = 10, what = "the condition" } = options;
  const until = systemClock.monotonic() + timeoutMs;
  let lastError: unknown;
  for (;;) {
    try {
      const result = await condition();
      if (result !== false && result !== undefined && result !== null) {
        return result as Exclude<Result, false | null | undefined>;
      }
      lastError = undefined;
    } catch (rawError) {
      lastError = rawError;
    }
    if (systemClock.monotonic() >= until) {
      throw new Error(`Waited ${timeoutMs} ms in vain for ${what}`, { cause: lastError });
    }
    await systemClock.sleep(intervalMs);
  }
}
