import { describe, expect, it } from "vitest";
import type { BlockHeader } from "../core/chain.ts";
import { blockOf } from "../testing/factory.ts";
import { type KeptChain, reconcile } from "./reconcile.ts";

/** Our own branch A from `from` to `to`. */
function kept(from: number, to: number): KeptChain {
  const refs = new Map(range(from, to).map((number) => [BigInt(number), blockOf(number)]));
  return { cursor: () => blockOf(to), at: (number) => refs.get(number), lowest: () => BigInt(from) };
}

const range = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, index) => from + index);

describe("reconciling a head", () => {
  it.each<[string, BlockHeader, unknown]>([
    ["the block at our cursor is the same", blockOf(10), { case: "same" }],
    ["our own block below is a lagging node", blockOf(7), { case: "behind", isKnown: true }],
    [
      "a block below what is kept is a lagging node, as far as can be seen",
      blockOf(3),
      { case: "behind", isKnown: false },
    ],
    ["the child of our cursor is next", blockOf(11), { case: "next" }],
    ["the block after next leaves a gap", blockOf(12), { case: "gap", missing: 2n }],
    [
      "a block of any branch far above leaves a gap",
      blockOf(100_000, "B"),
      { case: "gap", missing: 99_990n },
    ],
    ["another block at our cursor's number is a reorg", blockOf(10, "B"), { case: "reorg" }],
    ["another block at a number below is a reorg", blockOf(8, "B", "A"), { case: "reorg" }],
    ["the next number with another parent is a reorg", blockOf(11, "B"), { case: "reorg" }],
  ])("%s", (_what, head, expected) => {
    expect(reconcile(kept(5, 10), head)).toEqual(expected);
  });

  it("sees a reorg at the lowest kept block, and none at the one below", () => {
    expect(reconcile(kept(5, 10), blockOf(5, "B"))).toEqual({ case: "reorg" });
    expect(reconcile(kept(5, 10), blockOf(4, "B"))).toEqual({ case: "behind", isKnown: false });
  });

  it("B8: sees a chain that started anew below what is kept, by blocks younger than their descendants could be", () => {
    const anew = { ...blockOf(3, "B"), timestamp: blockOf(6).timestamp };
    expect(reconcile(kept(5, 10), anew)).toEqual({ case: "reorg" });
    const sameTime = { ...blockOf(3, "B"), timestamp: blockOf(5).timestamp };
    expect(reconcile(kept(5, 10), sameTime)).toEqual({ case: "behind", isKnown: false });
  });
});
