/**
 * The pump of the deliverer: runs while there is anything to claim, under way or to record, and rests otherwise.
 *
 *   at rest  → a nudge → pumping
 *   pumping  → nothing due, nothing under way, nothing to record → at rest
 *   stopping → no claims; attempts under way may end within the grace, then they are cut off and handed back
 *
 * Claims and records overlap with attempts: neither waits for the other, and each gathers what comes meanwhile.
 */
import { coerceError } from "../core/errors.ts";
import { attemptDelivery, logAttempt } from "../delivery/attempt-delivery.ts";
import type { AttemptOutcome } from "../delivery/attempt-outcome.ts";
import {
  type ClaimedDelivery,
  type Claims,
  claimDeliveries,
  nextAttemptInMs,
  type RecordResult,
} from "../delivery/delivery-store.ts";
import type { Egress } from "../delivery/egress.ts";
import { createEndpointWindows } from "../delivery/endpoint-windows.ts";
import { createOutcomeRecorder } from "../delivery/outcome-recorder.ts";
import { type Decision, decide, disablesEndpoint } from "../delivery/retry-schedule.ts";
import type { DelivererParts } from "./deliver-callbacks.ts";

export interface DeliveryPump {
  /** There may be something due. */
  nudge(): void;
  atRest(): Promise<void>;
  /** For good, and within the grace. */
  stop(graceMs: number): Promise<void>;
}

/** Beyond an attempt's own limit: for its outcome to be recorded before the claim runs out. */
const LEASE_MARGIN_MS = 10_000;
/**
 * A claim costs the database much the same for one delivery as for sixty-four. So while most attempts are under
 * way, and after a claim that was not full, this is waited for more to claim at once.
 */
const CLAIM_PAUSE_MS = 5;
/** Parts of the grace: for attempts to end, then for outcomes and hand-backs to be written. */
const GRACE_FOR_ATTEMPTS = 0.7;
const GRACE_FOR_RECORDS = 0.2;

export function createDeliveryPump(parts: DelivererParts & { readonly egress: Egress }): DeliveryPump {
  const { clock, database, egress, logger } = parts;
  const { concurrency } = parts.callbacks();
  const windows = createEndpointWindows(concurrency);
  const recorder = createOutcomeRecorder({ sql: database, clock, logger, onWritten, onEmpty: () => wake() });
  const stopping = new AbortController();

  let underWay = 0;
  let wantsClaim = false;
  /** Endpoints up to this one had their turn in this round. */
  let claimAfter = "";
  let isHandingBack = false;
  let pumping: Promise<void> | undefined;
  let wake: () => void = () => undefined;

  function nudge(): void {
    if (stopping.signal.aborted) return;
    wantsClaim = true;
    wake();
    pumping ??= pump().finally(() => {
      pumping = undefined;
      // A nudge after the pump's last look found it still running.
      if (wantsClaim) nudge();
    });
  }

  async function pump(): Promise<void> {
    while (wantsClaim || underWay + recorder.size > 0) {
      if (wantsClaim && hasRoom()) await claim();
      else await change();
    }
    windows.rest();
    await tellNextRetry();
  }

  function change(): Promise<void> {
    return new Promise((resolve) => {
      wake = resolve;
    });
  }

  /** Outcomes that pile up, because the database is slow or away, hold up new attempts. */
  function hasRoom(): boolean {
    return underWay < concurrency && recorder.size < 2 * concurrency;
  }

  async function claim(): Promise<void> {
    if (underWay > concurrency / 2) await clock.sleep(CLAIM_PAUSE_MS, stopping.signal);
    wantsClaim = false;
    const limit = concurrency - underWay;
    try {
      const claims = await claimDeliveries(database, {
        limit,
        perEndpoint: windows.freeOtherwise,
        freeByEndpoint: windows.freeByEndpoint(),
        leaseMs: parts.callbacks().timeoutMs + LEASE_MARGIN_MS,
        after: claimAfter,
      });
      goOn(claims);
      for (const claimed of claims.deliveries) begin(claimed);
      if (claims.deliveries.length < limit) await clock.sleep(CLAIM_PAUSE_MS, stopping.signal);
    } catch (rawError) {
      logger.warn("Failed to claim deliveries; the next sweep will", { error: coerceError(rawError) });
    }
  }

  /** Nothing is left only when a round that began at the first endpoint came to the last one. */
  function goOn({ next, mayHaveMore }: Claims): void {
    if (stopping.signal.aborted) return;
    if (next !== null || claimAfter !== "" || mayHaveMore) wantsClaim = true;
    claimAfter = next ?? "";
  }

  function begin(claimed: ClaimedDelivery): void {
    if (stopping.signal.aborted) {
      recorder.handBack({ ...claimed, waitMs: 0 });
      return;
    }
    const startedAt = clock.monotonic();
    underWay += 1;
    windows.began(claimed.endpointId);
    void attemptDelivery(parts, claimed, parts.callbacks().timeoutMs).then((outcome) => {
      makeRoom(claimed, outcome);
      end(claimed, outcome, startedAt);
      wake();
    });
  }

  /** Where there was no room before, more may be waiting. */
  function makeRoom(claimed: ClaimedDelivery, outcome: AttemptOutcome): void {
    const endpointWasFull = windows.ended(claimed.endpointId, outcome);
    if ((endpointWasFull || underWay >= concurrency) && !stopping.signal.aborted) wantsClaim = true;
    underWay -= 1;
  }

  function end(claimed: ClaimedDelivery, outcome: AttemptOutcome, startedAt: number): void {
    const decision = judge(claimed, outcome);
    const disables = disablesEndpoint(outcome);
    if (decision.next === "postpone") recorder.handBack({ ...claimed, waitMs: decision.waitMs });
    else recorder.add({ claim: claimed, outcome, decision, disablesEndpoint: disables, startedAt });
    logAttempt(logger, claimed, outcome, decision, disables);
    const eventAgeMs = claimed.eventAgeMs + clock.monotonic() - startedAt;
    parts.onAttempt?.({ outcome, decision: decision.next, eventAgeMs });
  }

  function judge(claimed: ClaimedDelivery, outcome: AttemptOutcome): Decision {
    // Cut off by our own stop: whoever comes next attempts it at once.
    if (isHandingBack && outcome.error === "local") return { next: "postpone", waitMs: 0 };
    return decide(outcome, claimed.failedBefore, parts.callbacks().scheduleMs, parts.random.fraction());
  }

  function onWritten(result: RecordResult): void {
    for (const id of result.disabledEndpointIds) {
      logger.warn("Disabled an endpoint that answered 410 Gone", { endpoint_id: id });
    }
    wake();
  }

  async function tellNextRetry(): Promise<void> {
    if (parts.onRetryAt === undefined || stopping.signal.aborted) return;
    try {
      const ms = await nextAttemptInMs(database);
      if (ms !== null) parts.onRetryAt(new Date(clock.now() + ms));
    } catch (rawError) {
      logger.warn("Failed to look for the next retry; the next sweep will", { error: coerceError(rawError) });
    }
  }

  async function atRest(): Promise<void> {
    while (pumping !== undefined) await pumping;
  }

  async function stop(graceMs: number): Promise<void> {
    stopping.abort();
    wantsClaim = false;
    wake();
    const done = new AbortController();
    await Promise.race([atRest(), clock.sleep(graceMs * GRACE_FOR_ATTEMPTS, done.signal)]);
    isHandingBack = true;
    await egress.destroy();
    await Promise.race([atRest(), clock.sleep(graceMs * GRACE_FOR_RECORDS, done.signal)]);
    done.abort();
    recorder.close();
  }

  return { nudge, atRest, stop };
}
