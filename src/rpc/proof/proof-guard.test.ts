import { describe, expect, it } from "vitest";
import { PROVED, type Proof, unproved } from "./proof.ts";
import { expectationOf } from "./proof-expectation.ts";
import { judgeBlock, type ProofGuard, type ProofVerdict, startGuard } from "./proof-guard.ts";
import type { BlockProof, ProofLevel, ProofPart } from "./proof-level.ts";

const NOT_ASKED = unproved("not_asked", "");
const DIFFERS = (what: string) => unproved("differs", `${what} differs`);
const STRANGE = unproved("unknown", "type 0x7f is not known");
const SHAPE = ["header.hash", "header.number", "type.0x2", "receipt.0x2.status"];

interface Given {
  readonly level?: ProofLevel;
  readonly parts?: Partial<Record<ProofPart, Proof>>;
  /** Names beside the usual ones. */
  readonly news?: readonly string[];
  readonly logCount?: number;
}

/** The proof of a block that is fully proved, but for what is given. */
function block({ level = "proved", parts = {}, news = [], logCount = 5 }: Given = {}): BlockProof {
  const all = {
    header: PROVED,
    receipts: PROVED,
    transactions: PROVED,
    withdrawals: PROVED,
    bloom: NOT_ASKED,
    ...parts,
  };
  return {
    level,
    parts: all,
    sure: { tokenLogs: false, nativeValue: false, transactionHashes: false, withdrawals: false },
    unproved: Object.values(all).flatMap((proof) =>
      proof.isProved || proof.doubt === "not_asked" ? [] : [proof.reason],
    ),
    shape: [...SHAPE, ...news],
    logCount,
  };
}

const forked = (news: readonly string[] = ["header.newRoot"]) =>
  block({ level: "bloom", parts: { header: DIFFERS("header"), bloom: PROVED }, news });
const logLeftOut = (news: readonly string[] = []) =>
  block({ level: "none", parts: { receipts: DIFFERS("receipts"), bloom: DIFFERS("bloom") }, news });
const strange = (news: readonly string[] = ["type.0x7f", "receipt.0x7f.status"]) =>
  block({ parts: { transactions: STRANGE }, news });

/** A guard that has seen these, from these nodes, one after the other, with its verdicts. */
function judgeAll(
  guard: ProofGuard,
  told: readonly (readonly [node: string, proof: BlockProof])[],
): { guard: ProofGuard; verdicts: ProofVerdict[] } {
  let now = guard;
  const verdicts = told.map(([node, proof]) => {
    const judged = judgeBlock(now, node, proof);
    now = judged.guard;
    return judged.verdict;
  });
  return { guard: now, verdicts };
}

const guardOf = (nodesToAgree: number, probed = [block(), block()]) =>
  startGuard(expectationOf(probed), nodesToAgree);

const kinds = (verdicts: readonly ProofVerdict[]) =>
  verdicts.map((verdict) =>
    verdict.kind === "refuse" ? "refuse" : verdict.alarm === null ? "accept" : "alarm",
  );

describe("what is expected of a chain", () => {
  it("is what all probed blocks prove", () => {
    const expected = expectationOf([block(), block({ logCount: 0 })]);
    expect(expected).toEqual({
      level: "proved",
      parts: ["header", "receipts", "transactions", "withdrawals"],
      familiar: SHAPE,
      shortfalls: [],
    });
  });

  it("is no more than the weakest block proves, and says why", () => {
    const weak = block({ level: "bloom", parts: { receipts: DIFFERS("receipts"), bloom: PROVED } });
    const expected = expectationOf([block(), weak, block()]);
    expect(expected).toMatchObject({
      level: "bloom",
      parts: ["header", "transactions", "withdrawals", "bloom"],
    });
    expect(expected.shortfalls).toEqual(["receipts differs"]);
  });

  it("is nothing where the blooms are equal for want of logs", () => {
    const empty = block({ level: "bloom", parts: { header: DIFFERS("header"), bloom: PROVED }, logCount: 0 });
    expect(expectationOf([empty, empty])).toMatchObject({
      level: "none",
      parts: ["receipts", "transactions", "withdrawals"],
    });
    expect(expectationOf([])).toEqual({ level: "none", parts: [], familiar: [], shortfalls: [] });
  });

  it("holds the transactions' root of blocks without a type that cannot be encoded", () => {
    const expected = expectationOf([block(), strange()]);
    expect(expected.level).toBe("proved");
    expect(expected.parts).toContain("transactions");
    expect(expected.familiar).toContain("type.0x7f");
    expect(expectationOf([strange()]).parts).not.toContain("transactions");
  });

  it("learns no name from a block that is not proved", () => {
    expect(expectationOf([block(), forked()]).familiar).not.toContain("header.newRoot");
  });
});

describe("the guard of a chain", () => {
  it("accepts what is proved as before, and what was not asked for", () => {
    const receiptsOnly = block({ parts: { transactions: NOT_ASKED } });
    const { verdicts } = judgeAll(guardOf(1), [
      ["a", block()],
      ["a", receiptsOnly],
    ]);
    expect(verdicts).toEqual([
      { kind: "accept", level: "proved", alarm: null },
      { kind: "accept", level: "proved", alarm: null },
    ]);
  });

  it.each<[string, BlockProof]>([
    ["C2: a log left out", logLeftOut()],
    ["C12: an invented deposit", block({ parts: { transactions: DIFFERS("transactions") } })],
    ["C12: a header that is not its hash", block({ parts: { header: DIFFERS("header") } })],
    ["D5: a withdrawal left out", block({ parts: { withdrawals: DIFFERS("withdrawals") } })],
    [
      "a header without a field",
      block({ parts: { header: unproved("unreadable", "missing") }, news: ["header.new"] }),
    ],
    [
      "a type that is not known, in receipts that are not proved",
      block({ parts: { transactions: STRANGE, header: DIFFERS("header") } }),
    ],
  ])("refuses %s, however often and by however many it is told", (_, lie) => {
    const told = ["a", "b", "c", "a", "b"].map((node) => [node, lie] as const);
    const { verdicts } = judgeAll(guardOf(2), told);
    expect(kinds(verdicts)).toEqual(["refuse", "refuse", "refuse", "refuse", "refuse"]);
    expect(verdicts[0]).toMatchObject({ reason: expect.stringMatching(/./) });
  });

  it("accepts anything from a chain that was never seen to prove anything", () => {
    const { verdicts } = judgeAll(guardOf(1, []), [["a", logLeftOut()]]);
    expect(verdicts).toEqual([{ kind: "accept", level: "none", alarm: null }]);
  });

  it("holds a chain of blooms to its blooms", () => {
    const blooms = block({
      level: "bloom",
      parts: { header: DIFFERS("header"), receipts: DIFFERS("receipts"), bloom: PROVED },
    });
    const { verdicts } = judgeAll(guardOf(1, [blooms]), [
      ["a", blooms],
      [
        "a",
        block({
          level: "none",
          parts: { header: DIFFERS("h"), receipts: DIFFERS("r"), bloom: DIFFERS("b") },
        }),
      ],
    ]);
    expect(kinds(verdicts)).toEqual(["accept", "refuse"]);
  });
});

describe("a fork that adds to the header", () => {
  it("is believed with an alarm, once all nodes have told of it, and in silence then", () => {
    const { verdicts } = judgeAll(guardOf(2), [
      ["a", forked()],
      ["a", forked()],
      ["b", forked()],
      ["a", forked()],
      ["b", forked()],
    ]);
    expect(kinds(verdicts)).toEqual(["refuse", "refuse", "alarm", "accept", "accept"]);
    expect(verdicts[0]).toMatchObject({ reason: expect.stringContaining("header.newRoot; 2 nodes") });
    expect(verdicts[2]).toMatchObject({ level: "bloom", alarm: expect.stringContaining("header.newRoot") });
  });

  it("is believed at once with an alarm where there is one node", () => {
    expect(kinds(judgeAll(guardOf(1), [["a", forked()]]).verdicts)).toEqual(["alarm"]);
  });

  it("leaves the blocks before it to be proved as they were", () => {
    const { guard } = judgeAll(guardOf(1), [["a", forked()]]);
    const { verdicts } = judgeAll(guard, [
      ["a", block()],
      ["a", logLeftOut()],
      ["a", block({ parts: { header: DIFFERS("header") } })],
    ]);
    expect(kinds(verdicts)).toEqual(["accept", "refuse", "refuse"]);
  });

  it("C2: excuses no receipts that do not make the root the header tells", () => {
    const { guard } = judgeAll(guardOf(1), [["a", forked()]]);
    const lie = block({
      level: "none",
      parts: { header: DIFFERS("header"), receipts: DIFFERS("receipts"), bloom: DIFFERS("bloom") },
      news: ["header.newRoot"],
    });
    expect(kinds(judgeAll(guard, [["a", lie]]).verdicts)).toEqual(["refuse"]);
  });

  it("is told by nodes that name other new fields beside it", () => {
    const { verdicts } = judgeAll(guardOf(2), [
      ["a", forked(["header.newRoot", "header.ofNodeA"])],
      ["b", forked(["header.newRoot", "header.ofNodeB"])],
    ]);
    expect(kinds(verdicts)).toEqual(["refuse", "alarm"]);
    expect(verdicts[1]).toMatchObject({ alarm: expect.not.stringContaining("ofNodeB") });
  });

  it("C2: is no excuse by a name that proved blocks had, as one that a node's new version tells", () => {
    const { guard } = judgeAll(guardOf(1), [
      ["a", block({ news: ["header.harmless", "receipt.0x2.harmless"] })],
    ]);
    const { verdicts } = judgeAll(guard, [
      ["a", forked(["header.harmless"])],
      ["a", logLeftOut(["receipt.0x2.harmless"])],
    ]);
    expect(kinds(verdicts)).toEqual(["refuse", "refuse"]);
  });

  it("C2: is no excuse for a log left out by one node of several", () => {
    const lie = logLeftOut(["receipt.0x2.invented"]);
    const { verdicts } = judgeAll(guardOf(2), [
      ["a", lie],
      ["a", lie],
      ["b", block()],
      ["a", lie],
    ]);
    expect(kinds(verdicts)).toEqual(["refuse", "refuse", "accept", "refuse"]);
  });
});

describe("a type of transaction that is new", () => {
  it("D10: is accepted with an alarm the first time, since the proved receipts hold it", () => {
    const { verdicts } = judgeAll(guardOf(3), [
      ["a", strange()],
      ["b", strange()],
      ["a", block()],
    ]);
    expect(kinds(verdicts)).toEqual(["alarm", "accept", "accept"]);
    expect(verdicts[0]).toMatchObject({ level: "proved", alarm: expect.stringContaining("type.0x7f") });
  });

  it("C12: excuses no wrong transaction in the same block", () => {
    const lie = block({ parts: { transactions: DIFFERS("transactions") }, news: ["type.0x7f"] });
    expect(kinds(judgeAll(guardOf(1), [["a", lie]]).verdicts)).toEqual(["refuse"]);
  });

  it("is believed with a fork of the header once all nodes have told of both", () => {
    const both = block({
      level: "bloom",
      parts: { header: DIFFERS("header"), transactions: STRANGE, bloom: PROVED },
      news: ["header.newRoot", "type.0x7f"],
    });
    const { verdicts } = judgeAll(guardOf(2), [
      ["a", both],
      ["b", both],
      ["b", both],
    ]);
    expect(kinds(verdicts)).toEqual(["refuse", "alarm", "accept"]);
  });
});

describe("the memory of the guard", () => {
  it("is bounded, whatever names a node makes up", () => {
    let guard = guardOf(2);
    for (let round = 0; round < 30; round++) {
      const names = Array.from({ length: 200 }, (_, index) => `header.${round}-${index}`);
      guard = judgeBlock(guard, "a", forked(names)).guard;
      guard = judgeBlock(guard, "a", block({ news: names.map((name) => `${name}-proved`) })).guard;
    }
    expect(guard.witnesses.size).toBeLessThanOrEqual(1_000);
    expect(guard.familiar.size).toBeLessThanOrEqual(1_300);
  });
});
