import { describe, expect, it } from "vitest";
import { type AttemptOutcome, NO_PHASES } from "./attempt-outcome.ts";
import type { ClaimedDelivery } from "./claim-store.ts";
import { createHeldDeliveries, type HeldDeliveries } from "./held-deliveries.ts";

const OK: AttemptOutcome = {
  httpStatus: 204,
  error: null,
  errorCode: null,
  durationMs: 1,
  phases: NO_PHASES,
  responseBody: "",
  retryAfterMs: null,
};
const BROKEN: AttemptOutcome = { ...OK, httpStatus: 500, error: "status" };
const TIMED_OUT: AttemptOutcome = { ...OK, httpStatus: null, error: "timeout" };

let number = 0;
function claims(endpointId: string, count: number): ClaimedDelivery[] {
  return Array.from({ length: count }, () => ({
    deliveryId: `delivery-${number++}`,
    attempt: 1,
    failedBefore: 0,
    eventId: "event",
    eventType: "endpoint.test",
    body: "{}",
    eventAgeMs: 0,
    endpointId,
    merchantId: "mer_a",
    url: "https://a.example/",
    keys: [],
    sealedHeaders: null,
    scheduleMs: null,
    isProbe: false,
  }));
}

function beginAll(held: HeldDeliveries): ClaimedDelivery[] {
  const begun: ClaimedDelivery[] = [];
  for (let claim = held.begin(); claim !== undefined; claim = held.begin()) begun.push(claim);
  return begun;
}

/** Gives an endpoint so many successes, all its window in use. */
function warmUp(held: HeldDeliveries, endpointId: string, rounds: number): void {
  for (let round = 0; round < rounds; round++) {
    held.add(claims(endpointId, 100));
    for (const claim of beginAll(held)) held.end(claim, OK);
    held.takeWaiting();
  }
}

describe("held deliveries", () => {
  it("G4: lets endpoints take turns, oldest first within each", () => {
    const held = createHeldDeliveries(4);
    const [a, b] = [claims("end_a", 3), claims("end_b", 1)];
    held.add([...a, ...b]);
    expect(beginAll(held)).toEqual([a[0], b[0], a[1]]);
    expect([held.underWay, held.waiting]).toEqual([3, 1]);
  });

  it("G4: begins no more of one endpoint than its window, however many it has", () => {
    const held = createHeldDeliveries(64);
    held.add(claims("end_hangs", 50));
    expect(beginAll(held)).toHaveLength(2);
    expect(held.countReady()).toBe(0);
  });

  it("never begins more at once than its concurrency", () => {
    const held = createHeldDeliveries(3);
    held.add([...claims("end_a", 2), ...claims("end_b", 2), ...claims("end_c", 2)]);
    const begun = beginAll(held);
    expect(begun).toHaveLength(3);
    expect(held.countReady()).toBe(3);
    for (const claim of begun.slice(0, 1)) held.end(claim, OK);
    expect(beginAll(held)).toHaveLength(1);
  });

  it("doubles the window of a healthy endpoint with every round trip, up to half of everything", () => {
    const held = createHeldDeliveries(32);
    held.add(claims("end_a", 200));
    const begun: number[] = [];
    let underWay = beginAll(held);
    for (let round = 0; round < 5; round++) {
      begun.push(underWay.length);
      // As it is with answers: each that comes makes room for the next.
      underWay = underWay.flatMap((claim) => {
        held.end(claim, OK);
        return beginAll(held);
      });
    }
    expect(begun).toEqual([2, 4, 8, 16, 16]);
  });

  it("does not widen the window of an endpoint that gets little", () => {
    const held = createHeldDeliveries(64);
    for (let n = 0; n < 100; n++) {
      held.add(claims("end_a", 1));
      for (const claim of beginAll(held)) held.end(claim, OK);
    }
    held.add(claims("end_a", 50));
    expect(beginAll(held).length).toBeLessThanOrEqual(3);
  });

  it("waits for one at a time of an endpoint that timed out, and hands back what it held", () => {
    const held = createHeldDeliveries(64);
    warmUp(held, "end_a", 4);
    held.add(claims("end_a", 40));
    const begun = beginAll(held);
    expect(begun.length).toBeGreaterThan(8);
    const [first, second, ...rest] = begun;
    if (first === undefined || second === undefined) throw new Error("nothing begun");
    expect(held.end(first, TIMED_OUT).handedBack).toHaveLength(40 - begun.length);
    expect(held.waiting).toBe(0);
    expect(held.roomByEndpoint().get("end_a")).toBe(0);
    for (const claim of [second, ...rest]) held.end(claim, TIMED_OUT);
    expect(held.roomByEndpoint().get("end_a")).toBe(1);
    held.add(claims("end_a", 5));
    expect(beginAll(held)).toHaveLength(1);
  });

  it("G4: does not take a slow answer for a dead endpoint when what was sent later was answered", () => {
    const held = createHeldDeliveries(64);
    warmUp(held, "end_a", 4);
    held.add(claims("end_a", 40));
    const [slow, ...others] = beginAll(held);
    const last = others.at(-1);
    if (slow === undefined || last === undefined) throw new Error("nothing begun");
    held.end(last, OK);
    const window = held.roomByEndpoint().get("end_a") ?? 0;
    expect(held.end(slow, TIMED_OUT)).toMatchObject({ answersOthers: true, handedBack: [] });
    expect(held.waiting).toBeGreaterThan(0);
    expect(held.roomByEndpoint().get("end_a")).toBeLessThan(window);
  });

  it("G4: gives back what waits for an endpoint that is paused, and begins one at a time as a probe", () => {
    const held = createHeldDeliveries(64);
    warmUp(held, "end_a", 4);
    held.add(claims("end_a", 40));
    const begun = beginAll(held);
    expect(held.takePaused("end_a")).toHaveLength(40 - begun.length);
    for (const claim of begun) held.end(claim, BROKEN);
    held.forget();
    held.add(claims("end_b", 3).map((claim) => ({ ...claim, isProbe: true })));
    expect(beginAll(held)).toHaveLength(1);
    expect(held.takePaused("end_unknown")).toEqual([]);
  });

  it("G4: begins no second probe before the outcome of a failed one is written", () => {
    const held = createHeldDeliveries(64);
    const [probe, next] = claims("end_a", 2).map((claim) => ({ ...claim, isProbe: true }));
    if (probe === undefined || next === undefined) throw new Error("no claims");
    held.add([probe]);
    beginAll(held);
    held.end(probe, BROKEN);
    expect(held.roomByEndpoint().get("end_a")).toBe(0);
    held.reopen();
    expect(held.roomByEndpoint().get("end_a")).toBe(1);
  });

  it("does not begin beyond a window that shrank while its endpoint stood in line", () => {
    const held = createHeldDeliveries(6);
    warmUp(held, "end_c", 5);
    held.add([...claims("end_a", 2), ...claims("end_b", 2)]);
    beginAll(held);
    held.add(claims("end_c", 3));
    const [first] = beginAll(held); // two of end_c; all six are under way, and the third stands in line
    if (first === undefined) throw new Error("nothing begun");
    held.end(first, TIMED_OUT);
    held.add(claims("end_c", 1));
    expect(beginAll(held)).toEqual([]);
  });

  it("keeps the window of an endpoint that answers, if only to refuse", () => {
    const held = createHeldDeliveries(64);
    held.add(claims("end_a", 2));
    for (const claim of beginAll(held)) expect(held.end(claim, BROKEN).handedBack).toEqual([]);
    held.add(claims("end_a", 10));
    expect(beginAll(held)).toHaveLength(2);
  });

  it("claims ahead for an endpoint whose window has grown, and not for a new one", () => {
    const held = createHeldDeliveries(64);
    expect(held.roomOtherwise).toBe(2);
    expect(held.room).toBe(8 * 64);
    warmUp(held, "end_a", 20);
    expect(held.roomByEndpoint().get("end_a")).toBe(4 * 32);
    held.add(claims("end_a", 10));
    expect(held.roomByEndpoint().get("end_a")).toBe(4 * 32 - 10);
    expect(held.room).toBe(8 * 64 - 10);
  });

  it("claims nothing ahead for an endpoint that takes its time, so that no claim runs out while it waits", () => {
    const held = createHeldDeliveries(64);
    warmUp(held, "end_a", 20);
    held.add(claims("end_a", 1));
    for (const claim of beginAll(held)) held.end(claim, { ...OK, durationMs: 1_001 });
    expect(held.roomByEndpoint().get("end_a")).toBe(32);
    held.add(claims("end_a", 1));
    for (const claim of beginAll(held)) held.end(claim, OK);
    expect(held.roomByEndpoint().get("end_a")).toBe(4 * 32);
  });

  it("tells when an attempt's end makes room where there was none", () => {
    const held = createHeldDeliveries(64);
    held.add(claims("end_a", 2));
    const [first, second] = beginAll(held);
    if (first === undefined || second === undefined) throw new Error("nothing begun");
    expect(held.end(first, BROKEN).wasFull).toBe(true);
    expect(held.end(second, BROKEN).wasFull).toBe(false);
  });

  it("forgets idle endpoints, but not those that timed out last", () => {
    const held = createHeldDeliveries(64);
    held.add([...claims("end_a", 1), ...claims("end_b", 1), ...claims("end_c", 1)]);
    const [a, b] = beginAll(held);
    if (a === undefined || b === undefined) throw new Error("nothing begun");
    held.end(a, OK);
    held.end(b, TIMED_OUT);
    held.forget();
    expect([...held.roomByEndpoint().keys()]).toEqual(["end_b", "end_c"]);
  });

  it("H10: gives up what waits, so that it can be handed back", () => {
    const held = createHeldDeliveries(64);
    const [a, b] = [claims("end_a", 5), claims("end_b", 1)];
    held.add([...a, ...b]);
    const begun = beginAll(held);
    expect(held.takeWaiting()).toEqual(a.slice(2));
    expect([held.underWay, held.waiting]).toEqual([begun.length, 0]);
    for (const claim of begun) held.end(claim, OK);
    expect(held.begin()).toBe(undefined);
  });

  it("sets an endpoint aside whatever comes of its attempts under way, and admits it with one at a time", () => {
    const held = createHeldDeliveries(8);
    held.add([...claims("end_a", 5), ...claims("end_b", 1)]);
    const underWay = beginAll(held).filter(({ endpointId }) => endpointId === "end_a");
    expect(underWay).toHaveLength(2);
    expect(held.setAside("end_a")).toHaveLength(3);
    const [first, second] = underWay;
    const steps = [
      () => first !== undefined && held.end(first, OK),
      () => second !== undefined && held.end(second, TIMED_OUT),
      held.reopen,
      () => held.takePaused("end_a"),
      held.forget,
    ];
    for (const step of steps) {
      step();
      expect(held.roomByEndpoint().get("end_a")).toBe(0);
    }
    held.add(claims("end_a", 3));
    expect(beginAll(held)).toEqual([]);
    held.admit("end_a");
    const [probe, ...more] = beginAll(held);
    expect(more).toEqual([]);
    if (probe !== undefined) held.end(probe, OK);
    expect(beginAll(held)).toHaveLength(2);
  });
});
