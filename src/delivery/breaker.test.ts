import { describe, expect, it } from "vitest";
import { type AttemptOutcome, NO_PHASES } from "./attempt-outcome.ts";
import { pauseAfter } from "./breaker.ts";

const outcome = (given: Partial<AttemptOutcome>): AttemptOutcome => ({
  httpStatus: null,
  error: "status",
  errorCode: null,
  durationMs: 1,
  phases: NO_PHASES,
  responseBody: null,
  retryAfterMs: null,
  ...given,
});

describe("one outcome", () => {
  it("G3: pauses its endpoint for at least a minute after a timeout or a 429", () => {
    for (const each of [outcome({ error: "timeout" }), outcome({ httpStatus: 429 })]) {
      expect([pauseAfter(each, false, 0), pauseAfter(each, false, 0.999)]).toEqual([60_000, 89_970]);
    }
  });

  it("G3: pauses for as long as the endpoint asks, up to an hour", () => {
    const asked = (httpStatus: number, seconds: number) =>
      pauseAfter(outcome({ httpStatus, retryAfterMs: seconds * 1_000 }), false, 0);
    expect([asked(429, 600), asked(503, 600), asked(503, 1), asked(429, 86_400)]).toEqual([
      600_000, 600_000, 60_000, 3_600_000,
    ]);
  });

  it("G4: does not pause an endpoint that answered what was sent later", () => {
    expect(pauseAfter(outcome({ error: "timeout" }), true, 0)).toBe(null);
    expect(pauseAfter(outcome({ httpStatus: 429 }), true, 0)).toBe(60_000);
  });

  it("says nothing of the endpoint when it is any other failure, or a success", () => {
    for (const each of [
      { httpStatus: 500 },
      { httpStatus: 503 },
      { error: "refused" },
      { error: "local" },
      { error: null },
    ])
      expect(pauseAfter(outcome(each as Partial<AttemptOutcome>), false, 0)).toBe(null);
  });
});
