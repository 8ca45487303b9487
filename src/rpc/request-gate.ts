/**
 * Lets requests to one node through as its limit allows: those for the head before those for catching up, each
 * in the order of arrival. It measures every request, and tells the limit how it ended.
 */
import { DepositdError } from "../core/errors.ts";
import type { Clock } from "../runtime/clock.ts";
import type { Ask } from "./json-rpc.ts";
import type { Ending, Purpose, RequestLimit } from "./request-limit.ts";

export interface RequestGate {
  /** The same questions, each waiting for its turn. */
  asking(purpose: Purpose): Ask;
}

interface Waiter {
  readonly purpose: Purpose;
  begin(): void;
}

/** A node may ask to be left alone, but not for a day. */
const LONGEST_PAUSE_MS = 60_000;

export function createRequestGate(
  ask: Ask,
  limit: RequestLimit,
  clock: Clock,
  onLatency: (latencyMs: number) => void,
): RequestGate {
  const waiting: Record<Purpose, Set<Waiter>> = { head: new Set(), backfill: new Set() };
  let alarm: AbortController | undefined;

  const next = (): Waiter | undefined => {
    for (const purpose of ["head", "backfill"] as const) {
      const [first] = waiting[purpose];
      if (first !== undefined && limit.tryBegin(purpose, clock.monotonic())) return first;
    }
    return undefined;
  };
  const letIn = () => {
    for (let waiter = next(); waiter !== undefined; waiter = next()) {
      waiting[waiter.purpose].delete(waiter);
      waiter.begin();
    }
    wakeAfterPause();
  };
  /** While nothing is under way nothing ends, so the end of a pause has to wake by itself. */
  const wakeAfterPause = () => {
    const pauseMs = limit.pausedUntil() - clock.monotonic();
    if (alarm !== undefined || pauseMs <= 0 || waiting.head.size + waiting.backfill.size === 0) return;
    const set = new AbortController();
    alarm = set;
    void clock.sleep(pauseMs, set.signal).then(() => {
      alarm = undefined;
      letIn();
    });
  };
  const enter = (purpose: Purpose, signal?: AbortSignal): Promise<void> => {
    if (signal?.aborted === true) return Promise.reject(signal.reason);
    const queue = waiting[purpose];
    if (queue.size === 0 && limit.tryBegin(purpose, clock.monotonic())) return Promise.resolve();
    return new Promise((resolve, reject) => {
      const onAbort = () => {
        queue.delete(waiter);
        if (waiting.head.size + waiting.backfill.size === 0) alarm?.abort();
        reject(signal?.reason);
      };
      const begin = () => {
        signal?.removeEventListener("abort", onAbort);
        resolve();
      };
      const waiter: Waiter = { purpose, begin };
      signal?.addEventListener("abort", onAbort, { once: true });
      queue.add(waiter);
      wakeAfterPause();
    });
  };

  return {
    asking: (purpose) => async (method, params, signal) => {
      await enter(purpose, signal);
      const beganAt = clock.monotonic();
      let ending: Ending = "answered";
      try {
        return await ask(method, params, signal);
      } catch (rawError) {
        ending = endingOf(rawError, signal);
        limit.pauseUntil(clock.monotonic() + pauseMsOf(rawError));
        throw rawError;
      } finally {
        const now = clock.monotonic();
        if (ending === "answered") onLatency(now - beganAt);
        limit.onEnd(purpose, { ending, kind: method, beganAt }, now);
        letIn();
      }
    },
  };
}

/** A node that says no has answered; one that breaks or does not come back is hurt, perhaps by us. */
function endingOf(error: unknown, signal?: AbortSignal): Ending {
  if (signal?.aborted === true || !(error instanceof DepositdError)) return "cancelled";
  if (error.code === "node_rate_limited" || error.code === "node_unreachable") return "hurt";
  const status = error.facts["status"];
  return error.code === "node_error" && typeof status === "number" && status >= 500 ? "hurt" : "answered";
}

function pauseMsOf(error: unknown): number {
  const asked = error instanceof DepositdError ? error.facts["retryAfterSeconds"] : undefined;
  return typeof asked === "number" ? Math.min(LONGEST_PAUSE_MS, asked * 1000) : 0;
}
