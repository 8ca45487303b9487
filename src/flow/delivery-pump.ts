/**
 * The pump of the deliverer: runs while there is anything to claim, under way or to record, and rests otherwise.
 *
 *   at rest  → a nudge → pumping
 *   pumping  → nothing due, nothing under way, nothing to record → at rest
 *            → the egress proxy is away: what is held is handed back → at rest until it is time for a probe
 *   stopping → no claims; attempts under way may end within the grace, then they are cut off and handed back
 *
 * Claims and records overlap with attempts: neither waits for the other, and each gathers what comes meanwhile.
 */
import { coerceError } from "../core/errors.ts";
import { attemptDelivery, logAttempt } from "../delivery/attempt-delivery.ts";
import type { AttemptOutcome } from "../delivery/attempt-outcome.ts";
import { pauseAfter } from "../delivery/breaker.ts";
import { createRequestOpeners } from "../delivery/callback-request.ts";
import { type ClaimedDelivery, type Claims, claimDeliveries } from "../delivery/claim-store.ts";
import { nextAttemptInMs } from "../delivery/delivery-store.ts";
import type { Egress } from "../delivery/egress.ts";
import type { EndpointsAside } from "../delivery/endpoints-aside.ts";
import { createHeldDeliveries } from "../delivery/held-deliveries.ts";
import { createOutcomeRecorder } from "../delivery/outcome-recorder.ts";
import type { RecordedAttempt, RecordResult } from "../delivery/outcome-store.ts";
import type { ProxyGate } from "../delivery/proxy-gate.ts";
import { type Decision, decide, disablesEndpoint } from "../delivery/retry-schedule.ts";
import type { DelivererParts } from "./deliver-callbacks.ts";
import { recordAttempts } from "./record-attempts.ts";

export interface DeliveryPump {
  /** There may be something due. */
  nudge(): void;
  atRest(): Promise<void>;
  /** For good, and within the grace. */
  stop(graceMs: number): Promise<void>;
}

/**
 * A claim may wait for one attempt before its own (see held-deliveries), and its outcome must be recorded before
 * it runs out.
 */
const LEASE_IN_TIMEOUTS = 2;
const LEASE_MARGIN_MS = 10_000;
/** After a claim that was not full: so that a nudge for each commit is not a claim for each commit. */
const CLAIM_PAUSE_MS = 5;
/** A claim begins while there is still this much to attempt: with the database busy, it takes as long as these do. */
const READY_IN_ATTEMPTS = 2;
/** Outcomes that pile up, because the database is slow or away, hold up new claims. */
const MOST_UNRECORDED = 2_000;
/** Parts of the grace: for attempts to end, then for outcomes and hand-backs to be written. */
const GRACE_FOR_ATTEMPTS = 0.7;
const GRACE_FOR_RECORDS = 0.2;

export interface DeliveryPumpParts extends DelivererParts {
  readonly egress: Egress;
  readonly gate: ProxyGate;
  readonly aside: EndpointsAside;
  /** Some endpoint's secret could not be opened. */
  readonly onUnopened: () => void;
}

export function createDeliveryPump(parts: DeliveryPumpParts): DeliveryPump {
  const { clock, database, egress, logger, gate, aside } = parts;
  const { concurrency } = parts.callbacks();
  const held = createHeldDeliveries(concurrency);
  const record = (attempts: readonly RecordedAttempt[]) =>
    recordAttempts(database, attempts, {
      disableAfterMs: parts.callbacks().disableAfterMs,
      fraction: parts.random.fraction(),
    });
  const recorder = createOutcomeRecorder({
    sql: database,
    record,
    clock,
    logger,
    onWritten,
    onEmpty: () => wake(),
  });
  const attemptParts = { egress, openers: createRequestOpeners(parts.secretBox), clock, logger };
  const stopping = new AbortController();

  let wantsClaim = false;
  /** Endpoints up to this one had their turn in this round. */
  let claimAfter = "";
  let isBeginning = false;
  let isHandingBack = false;
  let pumping: Promise<void> | undefined;
  let wake: () => void = () => undefined;

  function nudge(): void {
    if (stopping.signal.aborted || !mayBegin()) return;
    wantsClaim = true;
    wake();
    pumping ??= pump().finally(() => {
      pumping = undefined;
      // A nudge after the pump's last look found it still running.
      if (wantsClaim) nudge();
    });
  }

  async function pump(): Promise<void> {
    while ((wantsClaim && mayBegin()) || held.underWay + held.waiting + recorder.size > 0) {
      if (wantsClaim && mayClaim()) await claim();
      else await change();
    }
    held.reopen(); // what this machine failed at itself is not written
    held.forget();
    await tellNextRetry();
  }

  function change(): Promise<void> {
    return new Promise((resolve) => {
      wake = resolve;
    });
  }

  function mayBegin(): boolean {
    return gate.isOpen || gate.mayProbe;
  }

  function mayClaim(): boolean {
    return (
      mayBegin() &&
      held.room > 0 &&
      held.countReady() <= READY_IN_ATTEMPTS * concurrency &&
      recorder.size <= MOST_UNRECORDED
    );
  }

  async function claim(): Promise<void> {
    wantsClaim = false;
    for (const id of aside.takeDue()) held.admit(id);
    const limit = gate.isOpen ? held.room : 1;
    try {
      const claims = await claimDeliveries(database, {
        limit,
        perEndpoint: held.roomOtherwise,
        freeByEndpoint: held.roomByEndpoint(),
        leaseMs: LEASE_IN_TIMEOUTS * parts.callbacks().timeoutMs + LEASE_MARGIN_MS,
        after: claimAfter,
      });
      goOn(claims);
      if (claims.deliveries.length < limit) await clock.sleep(CLAIM_PAUSE_MS, stopping.signal);
    } catch (rawError) {
      logger.warn("Failed to claim deliveries; the next sweep will", { error: coerceError(rawError) });
    }
  }

  function goOn({ deliveries, next, mayHaveMore }: Claims): void {
    if (stopping.signal.aborted) {
      handBack(deliveries);
      return;
    }
    // Nothing is left only when a round that began at the first endpoint came to the last one.
    if (next !== null || claimAfter !== "" || mayHaveMore) wantsClaim = true;
    claimAfter = next ?? "";
    held.add(deliveries);
    beginAttempts();
    if (!gate.isOpen) handBack(held.takeWaiting());
  }

  /** Not within itself: what ends at once, however much of it, is followed by the loop that is running. */
  function beginAttempts(): void {
    if (isBeginning || stopping.signal.aborted) return;
    isBeginning = true;
    for (let claimed = next(); claimed !== undefined; claimed = next()) attempt(claimed);
    isBeginning = false;
  }

  function next(): ClaimedDelivery | undefined {
    return mayBegin() ? held.begin() : undefined;
  }

  function attempt(claimed: ClaimedDelivery): void {
    const startedAt = clock.monotonic();
    const isProbe = gate.begin();
    attemptDelivery(attemptParts, claimed, parts.callbacks().timeoutMs, (outcome) => {
      const { wasFull, answersOthers, handedBack } = held.end(claimed, outcome);
      handBack(handedBack);
      if (wasFull && !stopping.signal.aborted) wantsClaim = true;
      noteOwnTrouble(claimed, outcome, isProbe);
      end(claimed, outcome, pauseAfter(outcome, answersOthers, parts.random.fraction()), startedAt);
      beginAttempts();
      if (wantsClaim && mayClaim()) wake();
    });
  }

  /** What keeps callbacks from going out and is not their endpoints': those that wait for it are handed back. */
  function noteOwnTrouble(claimed: ClaimedDelivery, outcome: AttemptOutcome, isProbe: boolean): void {
    const moved = gate.end(outcome, isProbe);
    if (moved?.to === "closed") {
      wantsClaim = false;
      handBack(held.takeWaiting());
      void clock.sleep(moved.waitMs, stopping.signal).then(() => {
        gate.letProbe();
        nudge();
      });
    } else if (moved?.to === "open") {
      // The claim of the probe was a full one, so another follows.
      for (const id of aside.takeRefused()) held.admit(id);
    }
    const reason = aside.note(claimed.endpointId, outcome);
    if (reason !== null) handBack(held.setAside(claimed.endpointId));
    if (reason === "secret") parts.onUnopened();
  }

  function handBack(claims: readonly ClaimedDelivery[]): void {
    for (const claimed of claims) recorder.handBack({ ...claimed, waitMs: 0 });
  }

  function end(
    claimed: ClaimedDelivery,
    outcome: AttemptOutcome,
    pauseMs: number | null,
    startedAt: number,
  ): void {
    const decision = judge(claimed, outcome);
    const disables = disablesEndpoint(outcome);
    if (decision.next === "postpone") recorder.handBack({ ...claimed, waitMs: decision.waitMs });
    else recorder.add({ claim: claimed, outcome, decision, disablesEndpoint: disables, pauseMs, startedAt });
    logAttempt(logger, claimed, outcome, { decision, disablesEndpoint: disables, pauseMs });
    const eventAgeMs = claimed.eventAgeMs + clock.monotonic() - startedAt;
    parts.onAttempt?.({ outcome, decision: decision.next, eventAgeMs });
  }

  function judge(claimed: ClaimedDelivery, outcome: AttemptOutcome): Decision {
    // Cut off by our own stop: whoever comes next attempts it at once.
    if (isHandingBack && outcome.error === "local") return { next: "postpone", waitMs: 0 };
    const scheduleMs = claimed.scheduleMs ?? parts.callbacks().scheduleMs;
    return decide(outcome, claimed.failedBefore, scheduleMs, parts.random.fraction());
  }

  function onWritten(result: RecordResult): void {
    for (const id of result.pausedEndpointIds) handBack(held.takePaused(id));
    held.reopen();
    for (const { id, merchantId, reason, failingSince } of result.disabled) {
      const fields = { endpoint_id: id, merchant_id: merchantId, reason, failing_since: failingSince };
      logger.warn("Disabled an endpoint", fields);
    }
    // The merchant's other endpoints are told.
    if (result.disabled.length > 0 && !stopping.signal.aborted) wantsClaim = true;
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
    handBack(held.takeWaiting());
    wake();
    const done = new AbortController();
    await Promise.race([atRest(), clock.sleep(graceMs * GRACE_FOR_ATTEMPTS, done.signal)]);
    isHandingBack = true;
    const cutOff = Promise.all([egress.destroy(), atRest()]);
    await Promise.race([cutOff, clock.sleep(graceMs * GRACE_FOR_RECORDS, done.signal)]);
    done.abort();
    recorder.close();
  }

  return { nudge, atRest, stop };
}
