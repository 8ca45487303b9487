/**
 * What follows from an attempt. Pure.
 *
 * With the schedule [0s, 5s, 5m, 30m, 2h, 5h, 10h, 14h, 20h, 24h] and ± 20 % jitter:
 *
 *   failed attempt   1        2          3           4             5        6         7          8          9          10
 *   waits            4…6 s    4…6 min    24…36 min   1.6…2.4 h     4…6 h    8…12 h    11.2…16.8  16…24 h    19.2…28.8  failed
 *   after a timeout or 429, the first of them waits 60…90 s instead
 *
 * so the last attempt is made about 75 h after the first. `retry-after` moves an attempt later, never sooner:
 * within [what the schedule says, 24 h]. Sooner would let an endpoint that answers `retry-after: 0` spend all
 * its attempts in a second; beyond 24 h it would outlive the schedule itself.
 */
import type { AttemptOutcome } from "./attempt-outcome.ts";

export type Decision =
  | { readonly next: "delivered" }
  | { readonly next: "retry"; readonly waitMs: number }
  /** The last attempt failed. */
  | { readonly next: "failed" }
  /** This machine's fault, or its proxy's: tried again, and not counted among the endpoint's attempts. */
  | { readonly next: "postpone"; readonly waitMs: number };

const JITTER = 0.2;
/** Who is overloaded gets a minute at least: 75 s ± 20 % is 60 to 90 s. (Svix does the same.) */
const OVERLOADED_WAIT_MS = 75_000;
const MAX_RETRY_AFTER_MS = 24 * 3_600_000;
const POSTPONE_MS = 10_000;
const TOO_MANY_REQUESTS = 429;
const GONE = 410;

/**
 * @param failedBefore attempts of this delivery that failed and were recorded, without this one
 * @param scheduleMs wait before each attempt; its length is the number of attempts
 * @param fraction in [0, 1), evenly spread
 */
export function decide(
  outcome: AttemptOutcome,
  failedBefore: number,
  scheduleMs: readonly number[],
  fraction: number,
): Decision {
  if (outcome.error === null) return { next: "delivered" };
  // What is held up by the proxy waits for the proxy (see proxy-gate, endpoints-aside), and goes out once it is back.
  if (outcome.error === "proxy") return { next: "postpone", waitMs: 0 };
  if (outcome.error === "local") return { next: "postpone", waitMs: jittered(POSTPONE_MS, fraction) };
  const scheduledMs = scheduleMs[failedBefore + 1];
  if (scheduledMs === undefined) return { next: "failed" };
  const leastMs = isOverloaded(outcome) ? Math.max(scheduledMs, OVERLOADED_WAIT_MS) : scheduledMs;
  const askedMs = Math.min(outcome.retryAfterMs ?? 0, MAX_RETRY_AFTER_MS);
  return { next: "retry", waitMs: Math.max(jittered(leastMs, fraction), askedMs) };
}

/** 410 Gone: the endpoint wants no more of anything (Standard Webhooks 1.0). */
export function disablesEndpoint(outcome: AttemptOutcome): boolean {
  return outcome.httpStatus === GONE;
}

function isOverloaded(outcome: AttemptOutcome): boolean {
  return outcome.error === "timeout" || outcome.httpStatus === TOO_MANY_REQUESTS;
}

function jittered(ms: number, fraction: number): number {
  return Math.round(ms * (1 - JITTER + 2 * JITTER * fraction));
}
