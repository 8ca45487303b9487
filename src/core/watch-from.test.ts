import { describe, expect, it } from "vitest";
import { parseWatchFrom } from "./watch-from.ts";

describe("watchFrom", () => {
  it("is a time with its zone", () => {
    expect(parseWatchFrom("2026-01-31T12:00:00Z")).toEqual({ time: new Date(Date.UTC(2026, 0, 31, 12)) });
    expect(parseWatchFrom("2026-01-31T12:00:00.5+02:00")).toEqual({
      time: new Date(Date.UTC(2026, 0, 31, 10, 0, 0, 500)),
    });
  });

  it("is a first block for some chains", () => {
    expect(parseWatchFrom({ "1": 19_000_000, "31337": 0 })).toEqual({
      blocks: [
        { chainId: 1, block: 19_000_000 },
        { chainId: 31_337, block: 0 },
      ],
    });
  });

  it.each([
    ["a time without its zone", "2026-01-31T12:00:00"],
    ["a day", "2026-01-31"],
    ["a day that no calendar has", "2026-13-41T12:00:00Z"],
    ["a time before the first chain", "2015-07-29T23:59:59Z"],
    ["a number as text", "19000000"],
    ["nothing", ""],
    ["no chain", {}],
    ["a chain that cannot be", { mainnet: 5 }],
    ["chain 0", { "0": 5 }],
    ["a block before the first", { "1": -1 }],
    ["half a block", { "1": 1.5 }],
    ["a number that is no integer any more", { "1": 2 ** 53 }],
  ])("is refused as %s", (_what, given) => {
    expect(() => parseWatchFrom(given)).toThrow(expect.objectContaining({ code: "invalid_watch_from" }));
  });
});
