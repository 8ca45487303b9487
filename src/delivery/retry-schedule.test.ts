import { describe, expect, it } from "vitest";
import { type AttemptOutcome, NO_PHASES, parseRetryAfter } from "./attempt-outcome.ts";
import { decide, disablesEndpoint } from "./retry-schedule.ts";

const SECOND = 1_000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const SCHEDULE = [
  0,
  5 * SECOND,
  5 * MINUTE,
  30 * MINUTE,
  2 * HOUR,
  5 * HOUR,
  10 * HOUR,
  14 * HOUR,
  20 * HOUR,
  24 * HOUR,
];

function outcome(given: Partial<AttemptOutcome>): AttemptOutcome {
  return {
    httpStatus: 500,
    error: "status",
    errorCode: null,
    durationMs: 1,
    phases: NO_PHASES,
    responseBody: "",
    retryAfterMs: null,
    ...given,
  };
}

const delivered = outcome({ httpStatus: 204, error: null });
const broken = outcome({});
const timedOut = outcome({ httpStatus: null, error: "timeout" });

function waitMs(given: AttemptOutcome, failedBefore: number, fraction: number): number {
  const decision = decide(given, failedBefore, SCHEDULE, fraction);
  return "waitMs" in decision ? decision.waitMs : Number.NaN;
}

describe("decide", () => {
  it("is done after a 2xx, whichever attempt it was", () => {
    for (const failedBefore of [0, 9, 20]) {
      expect(decide(delivered, failedBefore, SCHEDULE, 0.5)).toEqual({ next: "delivered" });
    }
  });

  it("G1: waits as the schedule says, ± 20 %, and fails after the last attempt", () => {
    for (let failedBefore = 0; failedBefore < SCHEDULE.length - 1; failedBefore++) {
      const scheduled = SCHEDULE[failedBefore + 1] ?? Number.NaN;
      expect(waitMs(broken, failedBefore, 0.5)).toBe(scheduled);
      expect(waitMs(broken, failedBefore, 0)).toBe(scheduled * 0.8);
      expect(waitMs(broken, failedBefore, 1)).toBe(scheduled * 1.2);
    }
    expect(decide(broken, SCHEDULE.length - 1, SCHEDULE, 0.5)).toEqual({ next: "failed" });
    expect(decide(broken, SCHEDULE.length + 5, SCHEDULE, 0.5)).toEqual({ next: "failed" });
  });

  it("G1: makes its last attempt about 75 hours after the first", () => {
    const total = SCHEDULE.slice(1).reduce((sum, _ms, index) => sum + waitMs(broken, index, 0.5), 0);
    expect(total / HOUR).toBeCloseTo(75.6, 1);
  });

  it("G3: gives at least a minute after a timeout or a 429, and never shortens a longer wait", () => {
    for (const overloaded of [timedOut, outcome({ httpStatus: 429 })]) {
      expect(waitMs(overloaded, 0, 0)).toBe(MINUTE);
      expect(waitMs(overloaded, 0, 1)).toBe(1.5 * MINUTE);
      expect(waitMs(overloaded, 1, 0.5)).toBe(5 * MINUTE);
    }
  });

  it("G3: honours retry-after between what the schedule says and 24 hours", () => {
    const asked = (retryAfterMs: number) => outcome({ httpStatus: 503, retryAfterMs });
    expect(waitMs(asked(120 * SECOND), 0, 0.5)).toBe(120 * SECOND);
    expect(waitMs(asked(0), 0, 0.5)).toBe(5 * SECOND);
    expect(waitMs(asked(SECOND), 1, 0.5)).toBe(5 * MINUTE);
    expect(waitMs(asked(1_000 * HOUR), 0, 0.5)).toBe(24 * HOUR);
    expect(decide(asked(HOUR), SCHEDULE.length - 1, SCHEDULE, 0.5)).toEqual({ next: "failed" });
  });

  it("does not count what this machine could not even try", () => {
    const local = outcome({ httpStatus: null, error: "local" });
    expect(decide(local, SCHEDULE.length, SCHEDULE, 0.5)).toEqual({ next: "postpone", waitMs: 10 * SECOND });
    const byProxy = outcome({ httpStatus: null, error: "proxy" });
    expect(decide(byProxy, SCHEDULE.length, SCHEDULE, 0.5)).toEqual({ next: "postpone", waitMs: 0 });
  });

  it("G3: a 410 disables the endpoint, nothing else does", () => {
    expect(disablesEndpoint(outcome({ httpStatus: 410 }))).toBe(true);
    for (const httpStatus of [200, 404, 429, 500, null])
      expect(disablesEndpoint(outcome({ httpStatus }))).toBe(false);
  });
});

describe("parseRetryAfter", () => {
  const now = Date.UTC(2026, 10, 22, 14, 0, 0);

  it.each([
    ["0", 0],
    ["120", 120 * SECOND],
    ["Sun, 22 Nov 2026 14:01:00 GMT", MINUTE],
    ["Sun, 22 Nov 2026 13:00:00 GMT", 0],
    ["-5", null],
    ["1.5", null],
    ["soon", null],
    ["", null],
    [undefined, null],
  ])("reads %s as %s ms", (value, ms) => {
    expect(parseRetryAfter(value, now)).toBe(ms);
  });
});
