import { describe, expect, it } from "vitest";
import { parseThreshold, thresholdText } from "./threshold.ts";
import { type ChainStanding, waitsFor } from "./waits-for.ts";

const now = new Date("2026-11-24T12:00:00Z");
const minutesAgo = (minutes: number) => new Date(now.getTime() - minutes * 60_000);
const chain: ChainStanding = {
  cursorNumber: 102n,
  safeNumber: 90n,
  finalizedNumber: 80n,
  haltedReason: null,
  safeAt: minutesAgo(1),
  finalizedAt: minutesAgo(14),
  witnesses: 1,
  witnessedNumber: null,
  now,
};
const pending = (creditAt: string) =>
  ({
    status: "pending",
    blockNumber: 100n,
    creditAt,
    unlockAt: "finalized",
    eventAmountBaseUnits: null,
    balanceNodes: null,
    measureProblem: null,
  }) as const;

describe("what a deposit waits for", () => {
  it("is its depth, out of how many", () => {
    expect(waitsFor(pending("12"), chain)).toBe("3 of 12");
    expect(waitsFor(pending("3"), chain)).toBe("being settled");
    expect(waitsFor({ ...pending("1"), status: "credited", unlockAt: "64" }, chain)).toBe("3 of 64");
  });

  it("B10: is the tag, with how long it has stood still and whether the nodes tell it at all", () => {
    expect(waitsFor(pending("finalized"), chain)).toBe(
      "waiting for finalized, which has stood still for 14 minutes",
    );
    expect(waitsFor(pending("safe"), chain)).toBe("waiting for safe");
    expect(waitsFor(pending("safe"), { ...chain, safeNumber: null })).toBe(
      "waiting for safe, which the nodes do not tell",
    );
    expect(waitsFor(pending("12 and safe"), chain)).toBe("3 of 12 and waiting for safe");
    expect(waitsFor(pending("12 and safe"), { ...chain, safeNumber: 100n })).toBe("3 of 12");
  });

  it("is a person, where it was held or its chain was halted", () => {
    expect(waitsFor({ ...pending("1"), status: "held" }, chain)).toBe("waiting for a review");
    expect(waitsFor(pending("12"), { ...chain, haltedReason: "A reorg" })).toBe(
      "waiting for an operator, as the chain is halted: A reorg",
    );
  });

  it("is the screening service, once all else is met", () => {
    const screened = (creditAt: string) => ({ ...pending(creditAt), screeningSince: minutesAgo(2) });
    expect(waitsFor(screened("3"), chain)).toBe("waiting for screening since 2026-11-24T11:58:00.000Z");
    expect(waitsFor(screened("12"), chain)).toBe("3 of 12");
    expect(waitsFor({ ...screened("3"), status: "held" }, chain)).toBe("waiting for a review");
    expect(waitsFor({ ...pending("3"), screeningSince: null }, chain)).toBe("being settled");
  });

  it("is the nodes that do not hold its branch yet, once all else is met", () => {
    const wanting = { ...chain, cursorNumber: 111n, witnesses: 2, witnessedNumber: 104n };
    expect(waitsFor(pending("12"), wanting)).toBe(
      "waiting for 2 nodes to hold its branch, which they do up to block 104",
    );
    expect(waitsFor(pending("12"), { ...wanting, witnessedNumber: null })).toBe(
      "waiting for 2 nodes to hold its branch",
    );
    expect(waitsFor(pending("12"), { ...wanting, witnessedNumber: 111n })).toBe("being settled");
    expect(waitsFor(pending("13"), wanting)).toBe("12 of 13");
  });

  it("is nothing for one that has arrived, or has left", () => {
    for (const status of ["unlocked", "orphaned", "reversed", "ignored", "rejected"] as const) {
      expect(waitsFor({ ...pending("12"), status }, chain)).toBeNull();
    }
  });
});

it("reads each threshold as it is written", () => {
  for (const text of ["12", "safe", "finalized", "12 and safe"]) {
    expect(thresholdText(parseThreshold(text))).toBe(text);
  }
  expect(() => parseThreshold("latest")).toThrow(RangeError);
  expect(() => parseThreshold("")).toThrow(RangeError);
});
