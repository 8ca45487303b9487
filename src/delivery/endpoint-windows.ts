/**
 * How many attempts at once each endpoint may have in this process, so that one that hangs cannot take them all.
 *
 * An endpoint begins with 4. Each success adds one, so that a healthy one doubles with every round trip, up to
 * half of the process's attempts. A timeout takes it back to 1: of an endpoint that hangs, one attempt is waited
 * for at a time, however many of its deliveries are due.
 */
import type { AttemptOutcome } from "./attempt-outcome.ts";

const INITIAL = 4;
const AFTER_TIMEOUT = 1;

export interface EndpointWindows {
  /** Room of an endpoint that `freeByEndpoint` does not name. */
  readonly freeOtherwise: number;
  freeByEndpoint(): Map<string, number>;
  began(endpointId: string): void;
  /** @returns whether the endpoint had no room before this: more of it may be waiting. */
  ended(endpointId: string, outcome: AttemptOutcome): boolean;
}

interface Window {
  size: number;
  underWay: number;
}

/** @param concurrency attempts under way at once in this process, over all endpoints */
export function createEndpointWindows(concurrency: number): EndpointWindows {
  const largest = Math.ceil(concurrency / 2);
  const initial = Math.min(INITIAL, largest);
  const windows = new Map<string, Window>();

  return {
    freeOtherwise: initial,
    freeByEndpoint: () =>
      new Map([...windows].map(([id, { size, underWay }]) => [id, Math.max(0, size - underWay)])),
    began: (endpointId) => {
      const window = windows.get(endpointId) ?? { size: initial, underWay: 0 };
      window.underWay += 1;
      windows.set(endpointId, window);
    },
    ended: (endpointId, outcome) => {
      const window = windows.get(endpointId) ?? { size: initial, underWay: 1 };
      const wasFull = window.underWay >= window.size;
      window.underWay -= 1;
      if (outcome.error === null) window.size = Math.min(largest, window.size + 1);
      if (outcome.error === "timeout") window.size = AFTER_TIMEOUT;
      // What is idle and has not failed needs no memory; it begins anew.
      if (window.underWay === 0 && window.size >= initial) windows.delete(endpointId);
      return wasFull;
    },
  };
}
