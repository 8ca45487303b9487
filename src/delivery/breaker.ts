/**
 * Each endpoint's breaker: when it is left alone for a while, with everything that is due to it. A pause uses up none
 * of the attempts of the deliveries that wait behind it.
 *
 *   closed   deliveries go out as they are due
 *   open     `paused_until` is ahead: nothing of this endpoint is claimed
 *   probing  `paused_until` has passed: each process claims one at a time. A success closes the breaker, a failure
 *            opens it again
 *
 * What opens it:
 *
 *   429, or 503 with `retry-after`     for 60…90 s, or as long as it asks, up to an hour
 *   no answer in time                  for 60…90 s, unless it answered something that was sent later: then it is
 *                                      this event that it is slow at, and this delivery alone waits that long
 *   five failures in a row, any kind   for 5, 10, 20, 40, 60, 60, … s ± 20 %
 *
 * Whatever this machine failed at itself (its own proxy, its own limits) does not count.
 */
import type { AttemptOutcome } from "./attempt-outcome.ts";

/** Failures in a row that open it. */
export const FAILURES_TO_PAUSE = 5;
export const FIRST_PAUSE_MS = 5_000;
export const LONGEST_PAUSE_MS = 60_000;
/** A failure this long after the one before begins a new time of failing: longer than any wait in the schedule. */
export const FAILING_APART_MS = 36 * 3_600_000;

const OVERLOADED_MS = 60_000;
const OVERLOADED_JITTER_MS = 30_000;
const LONGEST_ASKED_MS = 3_600_000;
const TOO_MANY_REQUESTS = 429;
const UNAVAILABLE = 503;

/**
 * How long one attempt's outcome alone pauses its endpoint.
 *
 * @param answersOthers something that was sent to it later was answered
 * @param fraction in [0, 1), evenly spread
 * @returns milliseconds; `null`: not at all
 */
export function pauseAfter(outcome: AttemptOutcome, answersOthers: boolean, fraction: number): number | null {
  const asked = outcome.httpStatus === UNAVAILABLE && outcome.retryAfterMs !== null;
  const isOverloaded = outcome.httpStatus === TOO_MANY_REQUESTS || asked;
  if (!isOverloaded && (outcome.error !== "timeout" || answersOthers)) return null;
  const leastMs = OVERLOADED_MS + Math.round(OVERLOADED_JITTER_MS * fraction);
  return Math.max(leastMs, Math.min(outcome.retryAfterMs ?? 0, LONGEST_ASKED_MS));
}
