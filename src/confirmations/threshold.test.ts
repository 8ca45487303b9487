import { describe, expect, it } from "vitest";
import type { Asset, Threshold } from "../core/asset.ts";
import { bandFor, dueBlock, isMet, thresholdText } from "./threshold.ts";

const at = (depth: number): Threshold => ({ depth, tag: null });
const asset: Asset = {
  chainId: 1,
  token: null,
  currency: "ETH",
  decimals: 18,
  minimumBaseUnits: 0n,
  amountFrom: "event",
  policy: [
    { upToBaseUnits: 1000n, credit: at(3), unlock: at(12) },
    { upToBaseUnits: null, credit: at(12), unlock: { depth: null, tag: "finalized" } },
  ],
};

describe("thresholds", () => {
  it("gives the band whose limit the amount does not exceed, the limit included", () => {
    expect(bandFor(asset, 1000n).credit.depth).toBe(3);
    expect(bandFor(asset, 1001n).credit.depth).toBe(12);
  });

  it("B11: is due when the cursor makes the block exactly N deep", () => {
    expect(dueBlock(at(1), 100n)).toBe(100n);
    expect(dueBlock(at(12), 100n)).toBe(111n);
    expect(dueBlock({ depth: null, tag: "safe" }, 100n)).toBeNull();
  });

  it("B11: is met with exactly N confirmations, and where a tag is wanted too, when that has come as far", () => {
    const reached = (cursorNumber: bigint, safeNumber: bigint | null = null) => ({
      cursorNumber,
      safeNumber,
      finalizedNumber: null,
    });
    expect([isMet(at(12), 100n, reached(110n)), isMet(at(12), 100n, reached(111n))]).toEqual([false, true]);
    const both: Threshold = { depth: 12, tag: "safe" };
    expect(isMet(both, 100n, reached(111n))).toBe(false);
    expect(isMet(both, 100n, reached(111n, 99n))).toBe(false);
    expect(isMet(both, 100n, reached(111n, 100n))).toBe(true);
    expect(isMet(both, 100n, reached(110n, 100n))).toBe(false);
  });

  it("reads as people say it", () => {
    expect(thresholdText(at(12))).toBe("12");
    expect(thresholdText({ depth: null, tag: "finalized" })).toBe("finalized");
    expect(thresholdText({ depth: 12, tag: "safe" })).toBe("12 and safe");
  });
});
