import { expect, test } from "vitest";
import { previewText } from "./policy-preview.ts";

const change = { chainId: 1, currency: "USDT", stage: "credit", from: "12", to: "3" } as const;

test("H5: tells what a config would do to the deposits in flight, in sentences", () => {
  const changes = [
    { ...change, depositCount: 40, dueAtOnceCount: 36 },
    { ...change, currency: "ETH", depositCount: 1, dueAtOnceCount: 1 },
    { ...change, stage: "unlock" as const, to: "finalized", depositCount: 40, dueAtOnceCount: 0 },
  ];
  expect(previewText({ changes, amounts: [], problem: null }).split("\n")).toEqual([
    "Chain 1, USDT: 40 pending deposits would be credited at 3 in place of 12.",
    "Chain 1, ETH: 1 pending deposit would be credited at 3 in place of 12.",
    "Chain 1, USDT: 40 pending or credited deposits would be unlocked at finalized in place of 12.",
    "37 pending deposits would be credited at once.",
  ]);
});

test("tells of deposits that would count by something else", () => {
  const token = { chainId: 1, currency: "FEE" };
  const amounts = [
    { ...token, to: "balance" as const, depositCount: 3 },
    { ...token, chainId: 5, to: "event" as const, depositCount: 1 },
  ];
  expect(previewText({ changes: [], amounts, problem: null }).split("\n")).toEqual([
    "Chain 1, FEE: 3 pending deposits would be counted by what the balance grew by, not by the event.",
    "Chain 5, FEE: 1 pending deposit would be counted by the event, not by a balance.",
  ]);
});

test("says when nothing would change, or nothing could be looked at", () => {
  const nothing = { changes: [], amounts: [] };
  expect(previewText({ ...nothing, problem: null })).toBe(
    "No deposit in flight would wait for anything else.",
  );
  expect(previewText({ ...nothing, problem: "There is no database yet" })).toBe(
    "Deposits in flight were not looked at: There is no database yet.",
  );
});
