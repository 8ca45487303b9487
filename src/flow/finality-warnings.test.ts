import { describe, expect, it } from "vitest";
import { assetOf } from "../testing/factory.ts";
import { type FinalityState, finalityWarnings } from "./finality-warnings.ts";

const NOW = Date.parse("2026-01-01T12:00:00Z");
const ago = (minutes: number) => new Date(NOW - minutes * 60_000);
const chain = {
  blockTimeMs: 12_000,
  assets: [
    assetOf({
      policy: [
        { upToBaseUnits: null, credit: { depth: 3, tag: null }, unlock: { depth: null, tag: "finalized" } },
      ],
    }),
  ],
};
const state = (changed: Partial<FinalityState> = {}): FinalityState => ({
  cursorNumber: 100n,
  safeNumber: null,
  finalizedNumber: 40n,
  safeAt: null,
  finalizedAt: ago(7),
  ...changed,
});

describe("B10: what finality keeps waiting", () => {
  it("B10: is nothing while it moves, nor for a tag that nobody waits for", () => {
    expect(finalityWarnings(chain, state(), NOW)).toEqual([]);
    expect(finalityWarnings({ ...chain, assets: [] }, state({ finalizedNumber: null }), NOW)).toEqual([]);
  });

  it("B10: is said when it stands still for a hundred blocks, with the block and since when", () => {
    expect(finalityWarnings(chain, state({ finalizedAt: ago(19) }), NOW)).toEqual([]);
    expect(finalityWarnings(chain, state({ finalizedAt: ago(20) }), NOW)).toEqual([
      '"finalized" stands at block 40 since 2026-01-01T11:40:00.000Z: what waits for it waits on',
    ]);
  });

  it("B10: is said when the nodes do not know it, once the chain is followed at all", () => {
    expect(finalityWarnings(chain, state({ finalizedNumber: null }), NOW)).toEqual([
      'The nodes know no "finalized" block of the branch that is followed: what waits for it waits on',
    ]);
    expect(finalityWarnings(chain, state({ cursorNumber: null, finalizedNumber: null }), NOW)).toEqual([]);
  });
});
