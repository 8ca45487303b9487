/**
 * How many requests one node is asked at once. Pure: it is told what begins and how it ended, and at what time.
 *
 * The limit grows while answers come as fast as they can, and falls to half when the node is hurt: it says "too
 * many requests", does not answer in time, or fails inside (additive increase, multiplicative decrease, as TCP
 * shares a line). Until it is hurt for the first time it grows by one with each answer, later by one with each
 * round of answers.
 *
 * Two budgets. Catching up (`backfill`) may fill the limit, less what the head has under way, and never touches
 * the slots that are kept for the head; the head does not wait for the limit, only for those slots.
 */

/** What a question is for: the newest blocks, or those that were missed. */
export type Purpose = "head" | "backfill";

/** How a request ended. `cancelled` says nothing about the node. */
export type Ending = "answered" | "hurt" | "cancelled";

export interface RequestLimit {
  /** Counts the request as begun, if it may begin now. */
  tryBegin(purpose: Purpose, now: number): boolean;
  onEnd(purpose: Purpose, request: EndedRequest, now: number): void;
  /** Nothing begins before: the node asked to be left alone. */
  pauseUntil(time: number): void;
  /** Until when nothing begins; in the past when nothing is in the way. */
  pausedUntil(): number;
  status(): RequestLimitStatus;
}

export interface EndedRequest {
  readonly ending: Ending;
  /** Whatever takes about the same time: the method. */
  readonly kind: string;
  readonly beganAt: number;
}

export interface RequestLimitStatus {
  /** Requests at once, now. */
  readonly limit: number;
  readonly maxLimit: number;
  readonly headInFlight: number;
  readonly backfillInFlight: number;
}

/** A block at the head is up to three requests at once, and the next look at the head is one more. */
const HEAD_SLOTS = 4;
const FIRST_LIMIT = 8;
const SHRINK = 0.5;
/**
 * An answer that takes four times as long as the quickest of its kind, and 50 ms at least, says that the node is
 * busy: blocks differ in size by more than twice, and a node on the same machine answers within 50 ms always.
 */
const SLOW_RATIO = 4;
const SLOW_AT_LEAST_MS = 50;
/** The quickest time is forgotten by so much with each answer: a node that has become slower for good is learnt. */
const FORGETTING = 1.001;

export function createRequestLimit(maxLimit: number): RequestLimit {
  const keptForHead = Math.min(HEAD_SLOTS, maxLimit - 1);
  const quickest = new Map<string, number>();
  const inFlight = { head: 0, backfill: 0 };
  let limit = Math.min(FIRST_LIMIT, maxLimit);
  let wasHurt = false;
  let shrunkAt = Number.NEGATIVE_INFINITY;
  let pausedUntil = Number.NEGATIVE_INFINITY;
  let reachedAt = Number.NEGATIVE_INFINITY;

  const mayBegin = (purpose: Purpose): boolean => {
    if (inFlight.head + inFlight.backfill >= maxLimit) return false;
    if (purpose === "head") return inFlight.head < Math.max(HEAD_SLOTS, Math.floor(limit));
    const budget = Math.min(Math.floor(limit) - inFlight.head, maxLimit - keptForHead);
    // One at least: looking at the head must not stop the catching up either.
    return inFlight.backfill < Math.max(1, budget);
  };
  const isSlow = (kind: string, tookMs: number): boolean => {
    const known = quickest.get(kind);
    const best = known === undefined ? tookMs : Math.min(tookMs, known * FORGETTING);
    quickest.set(kind, best);
    return tookMs > Math.max(SLOW_AT_LEAST_MS, SLOW_RATIO * best);
  };
  const grow = () => {
    limit = Math.min(maxLimit, limit + (wasHurt ? 1 / limit : 1));
  };
  /** Requests that began before the last shrinking tell of the same pain. */
  const shrink = (beganAt: number, now: number) => {
    if (beganAt < shrunkAt) return;
    limit = Math.max(1, limit * SHRINK);
    wasHurt = true;
    shrunkAt = now;
  };

  return {
    tryBegin: (purpose, now) => {
      if (now < pausedUntil || !mayBegin(purpose)) return false;
      inFlight[purpose] += 1;
      if (inFlight.head + inFlight.backfill >= Math.min(Math.floor(limit), maxLimit - keptForHead))
        reachedAt = now;
      return true;
    },
    onEnd: (purpose, { ending, kind, beganAt }, now) => {
      inFlight[purpose] -= 1;
      // Only a limit that was reached was tried.
      const wasReached = reachedAt >= beganAt;
      if (ending === "hurt") shrink(beganAt, now);
      if (ending === "answered" && !isSlow(kind, now - beganAt) && wasReached) grow();
    },
    pauseUntil: (time) => {
      pausedUntil = Math.max(pausedUntil, time);
    },
    pausedUntil: () => pausedUntil,
    status: () => ({
      limit: Math.floor(limit),
      maxLimit,
      headInFlight: inFlight.head,
      backfillInFlight: inFlight.backfill,
    }),
  };
}
