import { describe, expect, it } from "vitest";
import type { Verification } from "../../core/verification.ts";
import { PROVED, type Proof, unproved } from "./proof.ts";
import { expectationOf, type ProofExpectation } from "./proof-expectation.ts";
import {
  expectedLevel,
  judgeBlock,
  memoryOf,
  type ProofGuard,
  type ProofVerdict,
  startGuard,
} from "./proof-guard.ts";
import type { BlockProof, ProofPart } from "./proof-level.ts";

const NOT_ASKED = unproved("not_asked", "");
const DIFFERS = (what: string) => unproved("differs", `${what} differs`);
const STRANGE = unproved("unknown", "type 0x7f is not known");
const SHAPE = ["header.hash", "header.number", "type.0x2", "receipt.0x2.status"];

interface Given {
  readonly level?: Verification;
  readonly parts?: Partial<Record<ProofPart, Proof>>;
  /** Names beside the usual ones. */
  readonly news?: readonly string[];
  readonly transactionCount?: number;
  readonly logCount?: number;
}

/** The proof of a block that is fully proved, but for what is given. */
function block({
  level = "proved",
  parts = {},
  news = [],
  transactionCount = 5,
  logCount = 5,
}: Given = {}): BlockProof {
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
    transactionCount,
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

const levelOfChain = (expectation: ProofExpectation) => expectedLevel(startGuard(expectation, 1));

const kinds = (verdicts: readonly ProofVerdict[]) =>
  verdicts.map((verdict) =>
    verdict.kind === "refuse" ? "refuse" : verdict.alarm === null ? "accept" : "alarm",
  );

describe("what is expected of a chain", () => {
  it("is what all probed blocks prove", () => {
    const expected = expectationOf([block(), block({ logCount: 0 })]);
    expect(expected).toEqual({
      parts: ["header", "receipts", "transactions", "withdrawals"],
      familiar: SHAPE,
      shortfalls: [],
    });
    expect(levelOfChain(expected)).toBe("proved");
  });

  it("is no more than the weakest block proves", () => {
    const weak = block({ level: "bloom", parts: { receipts: DIFFERS("receipts"), bloom: PROVED } });
    const expected = expectationOf([block(), weak, block()]);
    expect(expected).toMatchObject({
      parts: ["header", "transactions", "withdrawals", "bloom"],
      shortfalls: ["receipts"],
    });
    expect(levelOfChain(expected)).toBe("bloom");
  });

  it("is nothing where the blooms are equal for want of logs", () => {
    const empty = block({ level: "bloom", parts: { header: DIFFERS("header"), bloom: PROVED }, logCount: 0 });
    const expected = expectationOf([empty, empty]);
    expect(expected.parts).toEqual(["receipts", "transactions", "withdrawals"]);
    expect(levelOfChain(expected)).toBe("none");
    expect(expectationOf([])).toEqual({ parts: [], familiar: [], shortfalls: [] });
  });

  it("holds the transactions' root of blocks without a type that cannot be encoded", () => {
    const expected = expectationOf([block(), strange()]);
    expect(levelOfChain(expected)).toBe("proved");
    expect(expected.parts).toContain("transactions");
    expect(expected.familiar).toContain("type.0x7f");
    expect(expectationOf([strange()]).parts).not.toContain("transactions");
  });

  it("is nothing of receipts and transactions where there are none", () => {
    const empty = block({ transactionCount: 0, logCount: 0 });
    expect(expectationOf([empty])).toMatchObject({ parts: ["header", "withdrawals"], shortfalls: [] });
  });

  it("learns no name from a block that is not proved", () => {
    expect(expectationOf([block(), forked()]).familiar).not.toContain("header.newRoot");
  });
});

describe("what the guard learns", () => {
  const empty = block({ transactionCount: 0, logCount: 0 });
  const weak = block({ level: "bloom", parts: { receipts: DIFFERS("receipts"), bloom: PROVED } });
  const manyOf = (count: number, proof: BlockProof) =>
    Array.from({ length: count }, () => ["a", proof] as const);

  it("expects a part from the first block on that proves it, if no block failed to", () => {
    const { verdicts } = judgeAll(guardOf(1, [empty]), [
      ["a", empty],
      ["a", block()],
      ["a", logLeftOut()],
    ]);
    expect(kinds(verdicts)).toEqual(["accept", "accept", "refuse"]);
  });

  it("never expects what the first block with transactions does not prove, until 64 in a row do", () => {
    const before = judgeAll(guardOf(1, [empty]), [["a", weak], ...manyOf(63, block())]);
    expect(kinds(judgeAll(before.guard, [["a", weak]]).verdicts)).toEqual(["accept"]);
    const after = judgeAll(before.guard, manyOf(1, block()));
    expect(expectedLevel(after.guard)).toBe("proved");
    expect(kinds(judgeAll(after.guard, [["a", weak]]).verdicts)).toEqual(["refuse"]);
  });

  it("is remembered from one start to the next", () => {
    const { guard } = judgeAll(guardOf(2, [weak]), manyOf(3, block({ news: ["header.late"] })));
    const again = startGuard(memoryOf(guard), 2);
    expect(memoryOf(again)).toEqual(memoryOf(guard));
    expect(memoryOf(guard)).toMatchObject({ shortfalls: ["receipts"] });
    expect(again.familiar).toContain("header.late");
  });

  it("is nothing from a block that is refused", () => {
    const guard = guardOf(1, [empty]);
    const forged = block({ parts: { header: DIFFERS("header") } });
    expect(judgeBlock(guard, "a", forged).guard).toEqual(guard);
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
