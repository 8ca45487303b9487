import { describe, expect, it } from "vitest";
import { formatAmount, MAX_UINT256, parseAmount } from "./amount.ts";

describe("amounts", () => {
  it.each([
    ["12.5", 6, 12_500_000n],
    ["0", 18, 0n],
    ["0.000000000000000001", 18, 1n],
    ["1", 0, 1n],
    ["115792089237316195423570985008687907853269984665640564039457584007913129639935", 0, MAX_UINT256],
  ])("reads %s with %d decimals as %d base units, and writes it back", (text, decimals, baseUnits) => {
    expect(parseAmount(text, decimals)).toBe(baseUnits);
    expect(formatAmount(baseUnits, decimals)).toBe(text);
  });

  it("writes no zeros that say nothing", () => {
    expect(formatAmount(12_000_000n, 6)).toBe("12");
    expect(formatAmount(-500_000n, 6)).toBe("-0.5");
  });

  it.each(["", "-1", "+1", "1e3", "1.", ".5", "1,5", "0x10", " 1", "NaN", "1.0000001"])(
    "refuses %j",
    (text) => {
      expect(() => parseAmount(text, 6)).toThrow();
    },
  );

  it("refuses more than 2^256-1 base units", () => {
    expect(() => parseAmount((MAX_UINT256 + 1n).toString(), 0)).toThrow(/larger than/);
  });
});
