/** Real competing branches on a real node. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { BlockHeader } from "../core/chain.ts";
import type { ChainNodes } from "../rpc/chain-nodes.ts";
import { type Anvil, startAnvil } from "../testing/anvil.ts";
import * as lies from "../testing/lies.ts";
import { type NodeProxy, startNodeProxy } from "../testing/node-proxy.ts";
import { testNodes } from "../testing/nodes.ts";
import { findCommonAncestor } from "./common-ancestor.ts";
import { type KeptChain, reconcile } from "./reconcile.ts";

let chain: Anvil;
let proxy: NodeProxy;
let nodes: ChainNodes;

beforeAll(async () => {
  chain = await startAnvil({ mining: "manual" });
  proxy = await startNodeProxy(chain.url);
  nodes = testNodes([proxy.url]);
});
afterAll(async () => {
  await nodes.close();
  await proxy.stop();
  await chain.stop();
});

function keeping(refs: readonly BlockHeader[]): KeptChain {
  const [first] = refs;
  const last = refs.at(-1);
  if (first === undefined || last === undefined) throw new Error("Nothing is kept");
  return {
    cursor: () => last,
    lowest: () => first.number,
    at: (number) => refs.find((ref) => ref.number === number),
  };
}

const empty = (count: number) => Array.from({ length: count }, () => ({}));

/** A fork point, branch A of so many blocks as we hold it, and the head of a longer or shorter branch B. */
async function fork(lengthA: number, lengthB: number) {
  const base = await chain.mine();
  const point = await chain.forkPoint();
  const ours = await chain.mineBranch(point, empty(lengthA));
  const theirs = await chain.mineBranch(point, empty(lengthB));
  const head = theirs.at(-1);
  if (head === undefined) throw new Error("Branch B has no blocks");
  return { base, ours, head };
}

describe("finding the common ancestor", () => {
  it.each([
    ["one block deep", 1, 2],
    ["as long as ours", 3, 3],
    ["many blocks deep", 6, 7],
    ["B7: shorter than ours, so that the chain got shorter than the cursor", 5, 2],
    ["far longer than ours", 2, 40],
  ])("finds where the branches part: %s", async (_what, lengthA, lengthB) => {
    const { base, ours, head } = await fork(lengthA, lengthB);
    const found = await findCommonAncestor(nodes, keeping([base, ...ours]), head);
    expect(found).toMatchObject({ tooDeep: false, ancestor: base, first: { parentHash: base.hash } });
  });

  it("asks for a far longer branch by number first, not for each of its blocks", async () => {
    const { base, ours, head } = await fork(2, 60);
    proxy.resetCalls();
    await findCommonAncestor(nodes, keeping([base, ...ours]), head);
    expect(proxy.calls.get("eth_getBlockByHash")).toBeLessThanOrEqual(3);
  });

  it("B8: says that the branches part below what is kept", async () => {
    const { ours, head } = await fork(5, 6);
    proxy.resetCalls();
    expect(await findCommonAncestor(nodes, keeping(ours.slice(2)), head)).toEqual({ tooDeep: true });
    expect(proxy.calls.get("eth_getBlockByHash")).toBe(3); // no further than the lowest
  });

  it("B8: parts exactly at the lowest kept block", async () => {
    const { base, ours, head } = await fork(5, 6);
    const lower = await chain.headerAt(base.number - 1n);
    const exactly = await findCommonAncestor(nodes, keeping([base, ...ours]), head);
    const oneMore = await findCommonAncestor(nodes, keeping([lower, base, ...ours]), head);
    for (const found of [exactly, oneMore]) expect(found).toMatchObject({ tooDeep: false, ancestor: base });
  });

  it("B7: treats a head that is our own block as a lagging node, until the chain grows differently", async () => {
    const { base, ours, head } = await fork(3, 1);
    const local = keeping([base, ...ours]);
    expect(reconcile(local, base)).toEqual({ case: "behind", isKnown: true });
    expect(reconcile(local, head)).toEqual({ case: "reorg" });
  });

  it("C7: refuses instead, when a node turns out to be of another chain", async () => {
    const { ours, head } = await fork(5, 6);
    await nodes.head(); // it was found to be of its chain before
    proxy.lie(lies.otherChain(1), { methods: ["eth_chainId"] });
    await expect(findCommonAncestor(nodes, keeping(ours.slice(2)), head)).rejects.toMatchObject({
      code: "wrong_chain",
    });
    proxy.tellTruth();
  });

  it("fails, to be tried again, when the branch is gone before its end is found", async () => {
    const base = await chain.mine();
    const point = await chain.forkPoint();
    const ours = await chain.mineBranch(point, empty(3));
    const gone = (await chain.mineBranch(point, empty(4))).at(-1);
    await chain.mineBranch(point, empty(5));
    if (gone === undefined) throw new Error("unreachable");
    await expect(findCommonAncestor(nodes, keeping([base, ...ours]), gone)).rejects.toMatchObject({
      retryable: true,
    });
  });
});
