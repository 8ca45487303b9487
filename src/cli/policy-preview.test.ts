import { expect, test } from "vitest";
import { previewText } from "./policy-preview.ts";

const change = { chainId: 1, currency: "USDT", stage: "credit", from: "12", to: "3" } as const;

test("H5: tells what a config would do to the deposits in flight, in sentences", () => {
  const changes = [
    { ...change, depositCount: 40, dueAtOnceCount: 36 },
    { ...change, currency: "ETH", depositCount: 1, dueAtOnceCount: 1 },
    { ...change, stage: "unlock" as const, to: "finalized", depositCount: 40, dueAtOnceCount: 0 },
  ];
  expect(previewText({ changes, problem: null }).split("\n")).toEqual([
    "Chain 1, USDT: 40 pending deposits would be credited at 3 in place of 12.",
    "Chain 1, ETH: 1 pending deposit would be credited at 3 in place of 12.",
    "Chain 1, USDT: 40 pending or credited deposits would be unlocked at finalized in place of 12.",
    "37 pending deposits would be credited at once.",
  ]);
});

test("says when nothing would change, or nothing could be looked at", () => {
  expect(previewText({ changes: [], problem: null })).toBe(
    "No deposit in flight would wait for anything else.",
  );
  expect(previewText({ changes: [], problem: "There is no database yet" })).toBe(
    "Deposits in flight were not looked at: There is no database yet.",
  );
});
