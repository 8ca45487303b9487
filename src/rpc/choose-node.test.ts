/** Which node is asked first, from how each of them stands. */
import { describe, expect, it } from "vitest";
import type { BlockHeader } from "../core/chain.ts";
import type { Hash } from "../core/hex.ts";
import { type NodeStanding, orderForBackfill, orderForBlock, orderForHead } from "./choose-node.ts";

const hash = (branch: string, number: number): Hash =>
  `0x${branch.charCodeAt(0).toString(16)}${number.toString(16).padStart(62, "0")}`;

/** A block of a branch that has its own blocks from the start. */
const head = (number: number, branch = "a"): BlockHeader => ({
  number: BigInt(number),
  hash: hash(branch, number),
  parentHash: hash(branch, number - 1),
  timestamp: number,
});

const node = (standing: Partial<NodeStanding> = {}): NodeStanding => ({
  isResting: false,
  head: head(100),
  lacksTraces: false,
  load: 0,
  ...standing,
});

describe("the order for the head", () => {
  it("is the leader, then the others as the config names them, the resting ones last", () => {
    expect(orderForHead([node(), node(), node()], 0)).toEqual([0, 1, 2]);
    expect(orderForHead([node({ isResting: true }), node(), node()], 0)).toEqual([1, 2, 0]);
    expect(orderForHead([node({ head: null }), node({ head: null }), node({ head: null })], 1)).toEqual([
      1, 0, 2,
    ]);
  });

  it("goes back to a node that the config names before the leader, once it is on the same branch", () => {
    expect(orderForHead([node(), node()], 1)).toEqual([0, 1]);
    expect(orderForHead([node({ head: head(99) }), node()], 1)).toEqual([0, 1]);
    expect(orderForHead([node({ head: head(98) }), node()], 1)).toEqual([1, 0]);
    expect(orderForHead([node({ isResting: true }), node()], 1)).toEqual([1, 0]);
  });

  it("C10: stays with the leader while another branch is as long, or a little longer", () => {
    for (const number of [98, 99, 100, 101, 102]) {
      expect(orderForHead([node({ head: head(number, "b") }), node()], 1)).toEqual([1, 0]);
    }
  });

  it("C10: leaves it for a node that is three blocks ahead, unless that one rests", () => {
    expect(orderForHead([node(), node({ head: head(103, "b") })], 0)).toEqual([1, 0]);
    expect(orderForHead([node(), node({ head: head(103, "b"), isResting: true })], 0)).toEqual([0, 1]);
  });
});

describe("the order for a block", () => {
  it("leaves out nodes that cannot have it yet, or cannot trace it", () => {
    expect(orderForBlock([node({ head: head(50) }), node(), node({ head: null })], 1, 80n)).toEqual([1, 2]);
    expect(orderForBlock([node({ lacksTraces: true }), node()], 0, null)).toEqual([1]);
  });

  it("asks all of them when none can have it: what is known of heads may be old", () => {
    expect(orderForBlock([node({ head: head(50) }), node({ head: head(51) })], 0, 80n)).toEqual([0, 1]);
  });

  it("spreads the catching up: the node with the most room first", () => {
    const nodes = [node({ load: 0.9 }), node({ load: 0.1 }), node({ load: 0.5 }), node({ isResting: true })];
    expect(orderForBackfill(nodes, 0, 10n, 100n)).toEqual([1, 2, 0, 3]);
  });

  it("catches up near the head from the leader, whose branch is followed", () => {
    const nodes = [node({ load: 0.9 }), node({ load: 0.1 })];
    expect(orderForBackfill(nodes, 0, 90n, 100n)).toEqual([0, 1]);
    expect(orderForBackfill(nodes, 0, 10n, null)).toEqual([0, 1]);
  });
});
