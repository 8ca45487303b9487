/** What of the nodes' tags is believed. */
import { describe, expect, it } from "vitest";
import type { BlockHeader } from "../core/chain.ts";
import { blockOf } from "../testing/factory.ts";
import { effectiveTags } from "./effective-tags.ts";

const never = new AbortController().signal;
/** Blocks 5 to 10 of branch A are kept, the cursor is the last. */
const local = {
  cursor: () => blockOf(10),
  at: (number: bigint) => (number >= 5n && number <= 10n ? blockOf(Number(number)) : undefined),
};
/** @param branch of the block that the nodes have where our cursor is */
const told = (safe: BlockHeader | null, finalized: BlockHeader | null, branch = "A") =>
  effectiveTags(
    {
      tag: async (tag) => (tag === "safe" ? safe : finalized),
      headerByNumber: async (number) => blockOf(Number(number), branch),
    },
    local,
    never,
  );

describe("a tag", () => {
  it("counts as the nodes tell it while it is a block of our own branch", async () => {
    expect(await told(blockOf(9), blockOf(6))).toEqual({ safeNumber: 9n, finalizedNumber: 6n });
  });

  it("B10, C10: says nothing when it is a block of another branch", async () => {
    expect(await told(blockOf(9, "B"), blockOf(6, "B"))).toEqual({ safeNumber: null, finalizedNumber: null });
  });

  it("B10: says nothing where the nodes do not know it", async () => {
    expect(await told(null, null)).toEqual({ safeNumber: null, finalizedNumber: null });
  });

  it("counts as it is told below what is kept, which no reorg reaches", async () => {
    expect(await told(blockOf(4, "B"), blockOf(2))).toEqual({ safeNumber: 4n, finalizedNumber: 2n });
  });

  it("B10, C10: ends at our cursor when it is ahead, and only where the nodes have our block there", async () => {
    expect(await told(blockOf(20), blockOf(11))).toEqual({ safeNumber: 10n, finalizedNumber: 10n });
    expect(await told(blockOf(20), blockOf(11), "B")).toEqual({ safeNumber: null, finalizedNumber: null });
  });
});
