/** How many requests a node is asked at once, told by hand what happens. */
import { beforeEach, describe, expect, it } from "vitest";
import { createRequestLimit, type Ending, type Purpose, type RequestLimit } from "./request-limit.ts";

let now = 0;
let limit: RequestLimit;
beforeEach(() => {
  now = 0;
  limit = createRequestLimit(64);
});

const most = () => limit.status().limit;

/** Begins what may begin, and answers how many that were. */
function fill(purpose: Purpose): number {
  let count = 0;
  while (limit.tryBegin(purpose, now)) count += 1;
  return count;
}

/** Fills the budget for catching up; each request takes so long and ends like this. */
function round(ending: Ending = "answered", tookMs = 10): void {
  const beganAt = now;
  const count = fill("backfill");
  now += tookMs;
  for (let i = 0; i < count; i++)
    limit.onEnd("backfill", { ending, kind: "eth_getBlockReceipts", beganAt }, now);
}

const rounds = (count: number, ending?: Ending, tookMs?: number) => {
  for (let i = 0; i < count; i++) round(ending, tookMs);
};

describe("the limit of one node", () => {
  it("grows with every answer until it is hurt for the first time, up to its ceiling", () => {
    const seen = [most()];
    for (let i = 0; i < 8; i++) {
      round();
      seen.push(most());
    }
    expect(seen.every((each, index) => index === 0 || each >= (seen[index - 1] ?? 0))).toBe(true);
    expect(seen[1]).toBeGreaterThan(8);
    rounds(100);
    expect(most()).toBe(64);
  });

  it("falls to half when the node is hurt, once for all requests that were under way", () => {
    rounds(100);
    round("hurt");
    expect(most()).toBe(32);
    round("hurt");
    expect(most()).toBe(16);
    rounds(20, "hurt");
    expect(most()).toBe(1);
  });

  it("grows by about one with each round after it was hurt", () => {
    rounds(100);
    rounds(2, "hurt");
    expect(most()).toBe(16);
    rounds(10);
    expect(most()).toBeGreaterThanOrEqual(20);
    expect(most()).toBeLessThanOrEqual(27);
  });

  it("comes back from one", () => {
    rounds(20, "hurt");
    expect(fill("backfill")).toBe(1);
    limit.onEnd("backfill", { ending: "answered", kind: "m", beganAt: now }, now + 1);
    rounds(400);
    expect(most()).toBe(64);
  });

  it("stands while answers take four times as long as the quickest, and grows when that is how the node is", () => {
    rounds(2, "answered", 100);
    const before = most();
    round("answered", 500);
    expect(most()).toBe(before);
    // A thousandth with each answer: after a while this is the node's own pace.
    rounds(40, "answered", 500);
    expect(most()).toBeGreaterThan(before);
  });

  it("does not grow while it is not reached, nor change for what was cancelled", () => {
    for (let i = 0; i < 50; i++) {
      limit.tryBegin("backfill", now);
      limit.onEnd("backfill", { ending: "answered", kind: "m", beganAt: now }, now + 1);
    }
    expect(most()).toBe(8);
    rounds(5, "cancelled");
    expect(most()).toBe(8);
  });

  it("lets nothing begin before the node wants to be asked again", () => {
    limit.pauseUntil(20_000);
    limit.pauseUntil(5_000);
    now = 19_999;
    expect(limit.tryBegin("head", now)).toBe(false);
    now = 20_000;
    expect(limit.tryBegin("head", now)).toBe(true);
  });
});

describe("the two budgets", () => {
  it("leaves slots for the head however full the catching up is", () => {
    rounds(100);
    expect(fill("backfill")).toBe(60);
    expect(fill("head")).toBe(4);
    limit = createRequestLimit(64);
    expect(fill("backfill")).toBe(8);
    expect(fill("head")).toBeGreaterThanOrEqual(4);
  });

  it("keeps them at a limit of one too", () => {
    rounds(20, "hurt");
    expect(fill("backfill")).toBe(1);
    expect(fill("head")).toBe(4);
  });

  it("gives way to the head, and never stops for it", () => {
    expect(fill("head")).toBe(8);
    expect(fill("backfill")).toBe(1);
  });

  it.each([1, 2, 4, 5])("never exceeds a ceiling of %i", (ceiling) => {
    limit = createRequestLimit(ceiling);
    const backfill = fill("backfill");
    const head = fill("head");
    expect(backfill).toBe(1);
    expect(backfill + head).toBe(ceiling);
  });
});
