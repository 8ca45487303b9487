import { describe, expect, it } from "vitest";
import { silentLogger } from "../runtime/logger.ts";
import { systemRandom } from "../runtime/random.ts";
import { createFakeClock } from "../testing/fake-clock.ts";
import { type AttemptErrorClass, type AttemptOutcome, NO_PHASES } from "./attempt-outcome.ts";
import { createProxyGate, type ProxyGate } from "./proxy-gate.ts";

function outcome(
  error: AttemptErrorClass | null,
  errorCode: string | null,
  isConnected = true,
): AttemptOutcome {
  return {
    httpStatus: error === null ? 204 : null,
    error,
    errorCode,
    durationMs: 1,
    phases: { ...NO_PHASES, connectMs: isConnected ? 1 : null },
    responseBody: null,
    retryAfterMs: null,
  };
}
const AWAY = outcome("proxy", "ECONNREFUSED");
const PROXY = "http://proxy:3128";

function createGate() {
  const clock = createFakeClock();
  const random = { ...systemRandom, fraction: () => 0.5 };
  return { clock, gate: createProxyGate({ proxy: PROXY, clock, random, logger: silentLogger }) };
}

function probe(gate: ProxyGate, ended: AttemptOutcome) {
  gate.letProbe();
  return gate.end(ended, gate.begin());
}

describe("the gate before an egress proxy", () => {
  it("is closed by the first that cannot reach it, and waits longer after each probe that cannot", () => {
    const { gate, clock } = createGate();
    expect(gate.end(AWAY, gate.begin())).toEqual({ to: "closed", waitMs: 250 });
    expect(gate.away).toEqual({ proxy: PROXY, errorCode: "ECONNREFUSED", since: clock.now() });
    // Begun before it went.
    expect(gate.end(AWAY, false)).toBe(undefined);
    const waits = Array.from({ length: 7 }, () => probe(gate, AWAY));
    expect(waits.map((move) => move?.to === "closed" && move.waitMs)).toEqual([
      500, 1_000, 2_000, 4_000, 8_000, 10_000, 10_000,
    ]);
    expect(probe(gate, outcome(null, null))).toEqual({ to: "open" });
    expect(gate.away).toBe(null);
    expect(gate.end(AWAY, gate.begin())).toEqual({ to: "closed", waitMs: 250 });
  });

  it("lets one probe through at a time, once the wait is over", () => {
    const { gate } = createGate();
    gate.end(AWAY, gate.begin());
    expect(gate.mayProbe).toBe(false);
    gate.letProbe();
    expect(gate.mayProbe).toBe(true);
    expect(gate.begin()).toBe(true);
    expect(gate.mayProbe).toBe(false);
  });

  it.each([
    ["an answer", outcome(null, null)],
    ["the merchant's own failure", outcome("reset", "ECONNRESET")],
    ["that it could not reach the merchant", outcome("unreachable", null)],
    ["a refusal", outcome("proxy", "PROXY_407")],
  ])("is opened by %s that came through the proxy", (_what, ended) => {
    const { gate } = createGate();
    gate.end(AWAY, gate.begin());
    expect(probe(gate, ended)).toEqual({ to: "open" });
    expect(gate.isOpen).toBe(true);
  });

  it.each([
    ["over a connection that was kept", outcome(null, null, false)],
    ["whose name did not resolve", outcome("dns", "ENOTFOUND", false)],
    ["that this machine could not make", outcome("local", "EMFILE")],
  ])("learns nothing from a probe %s: another may follow at once", (_what, ended) => {
    const { gate } = createGate();
    gate.end(AWAY, gate.begin());
    expect(probe(gate, ended)).toBe(undefined);
    expect([gate.isOpen, gate.mayProbe]).toEqual([false, true]);
  });

  it("is closed by no attempt that the proxy refused or cut off, and opened by none that began before it went", () => {
    const { gate } = createGate();
    for (const code of ["PROXY_403", "PROXY_503", "PROXY_CLOSED"])
      expect(gate.end(outcome("proxy", code), gate.begin())).toBe(undefined);
    const before = gate.begin();
    gate.end(AWAY, gate.begin());
    expect(gate.end(outcome(null, null), before)).toBe(undefined);
    expect(gate.isOpen).toBe(false);
  });

  it("says that the proxy is away no longer than something waits for it", async () => {
    const { gate, clock } = createGate();
    gate.end(AWAY, gate.begin());
    await clock.advance(120_001);
    expect(gate.away).toBe(null);
    expect(gate.isOpen).toBe(false);
  });
});
