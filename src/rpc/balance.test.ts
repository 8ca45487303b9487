/** Balances after a block, asked of real nodes, and of nodes that cannot or will not tell. */
import { encodeDeployData } from "viem";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import type { BlockHeader } from "../core/chain.ts";
import type { Address } from "../core/hex.ts";
import { type Anvil, startAnvil } from "../testing/anvil.ts";
import { contractCode, tokenAbi } from "../testing/contracts.ts";
import { addressOf } from "../testing/factory.ts";
import { startGanache } from "../testing/ganache.ts";
import { startHardhat } from "../testing/hardhat.ts";
import type { Lie } from "../testing/lies.ts";
import * as lies from "../testing/lies.ts";
import { type NodeProxy, startNodeProxy } from "../testing/node-proxy.ts";
import { testNodes } from "../testing/nodes.ts";
import type { TestNode } from "../testing/test-node.ts";
import type { ChainNodes } from "./chain-nodes.ts";

const alice = addressOf("alice");
const PAID = 250n;

interface Paid {
  readonly token: Address;
  readonly block: BlockHeader;
  readonly parent: BlockHeader;
}

async function pay(node: TestNode): Promise<Paid> {
  const token = await node.deployToken();
  await node.mine();
  await node.transferToken(token, alice, PAID);
  await node.sendEth(alice, 7n);
  const block = await node.mine();
  await node.mine(2);
  return { token: token.address, block, parent: await node.headerAt(block.number - 1n) };
}

describe("a balance after a block", () => {
  let anvil: Anvil;
  let first: NodeProxy;
  let second: NodeProxy;
  let paid: Paid;
  let nodes: ChainNodes;
  const held = (block: BlockHeader, wanted = 1, token: Address | null = paid.token) =>
    nodes.balance({ token, holder: alice, block }, wanted);
  /** As a node answers that knows blocks by number only. */
  const noHashes: Lie = async (call) =>
    typeof call.params[1] === "object"
      ? {
          status: 200,
          body: { jsonrpc: "2.0", id: call.id, error: { code: -32602, message: "invalid argument 1" } },
        }
      : { status: 200, body: await call.forward() };
  const pruned: Lie = async (call) => ({
    status: 200,
    body: {
      jsonrpc: "2.0",
      id: call.id,
      error: { code: -32000, message: "missing trie node 0xabcd (path )" },
    },
  });

  beforeAll(async () => {
    anvil = await startAnvil({ mining: "manual" });
    paid = await pay(anvil);
    first = await startNodeProxy(anvil.url);
    second = await startNodeProxy(anvil.url);
    nodes = testNodes([first.url, second.url]);
  });
  afterEach(() => {
    for (const proxy of [first, second]) {
      proxy.tellTruth();
      proxy.resetCalls();
    }
  });
  afterAll(async () => {
    await nodes.close();
    await Promise.all([first.stop(), second.stop()]);
    await anvil.stop();
  });

  it("is told of a token and of the native coin, by the block's hash", async () => {
    expect(await held(paid.parent)).toEqual({ kind: "told", amountBaseUnits: 0n, nodes: 1 });
    expect(await held(paid.block)).toEqual({ kind: "told", amountBaseUnits: PAID, nodes: 1 });
    expect(await held(paid.parent, 1, null)).toMatchObject({ amountBaseUnits: 0n });
    expect(await held(paid.block, 1, null)).toMatchObject({ amountBaseUnits: 7n });
    expect(first.calls.get("eth_getBlockByNumber") ?? 0).toBe(0);
  });

  it("is nothing before the token's contract is made, and unknown where no token answers", async () => {
    const beforeAll = await anvil.headerAt(0n);
    expect(await held(beforeAll)).toMatchObject({ kind: "told", amountBaseUnits: 0n });
    const batcher = await anvil.deploy(await contractCode("RefusingToken"));
    const head = await anvil.mine();
    expect((await held(head, 1, batcher)).kind).toBe("untold");
  });

  it("is asked by number where a node takes no hashes, and believed only with the block's hash at it", async () => {
    first.lie(noHashes);
    second.lie(noHashes);
    expect(await held(paid.block)).toMatchObject({ kind: "told", amountBaseUnits: PAID });
    const ofAnotherBranch = { ...paid.block, hash: paid.parent.hash };
    expect((await held(ofAnotherBranch)).kind).toBe("untold");
  });

  it("is unknown where a node that takes no hashes was on another branch, be it before or after", async () => {
    const otherBranch = lies.changed((block) => ({ ...(block as object), hash: `0x${"ab".repeat(32)}` }));
    const asOurs: Lie = async (call) => ({ status: 200, body: await call.forward() });
    for (const turns of [
      [otherBranch, asOurs],
      [asOurs, otherBranch],
    ]) {
      for (const proxy of [first, second]) {
        proxy.lie(noHashes);
        const scope = { methods: ["eth_getBlockByNumber"], times: 1 };
        for (const turn of turns.toReversed()) proxy.lie(turn, scope);
      }
      expect((await held(paid.block)).kind).toBe("untold");
      for (const proxy of [first, second]) proxy.tellTruth();
    }
  });

  it("E1: is unknown, and not zero, where the state is pruned; another node is asked for it", async () => {
    first.lie(pruned, { methods: ["eth_call"] });
    expect(await held(paid.block)).toMatchObject({ kind: "told", amountBaseUnits: PAID });
    second.lie(pruned, { methods: ["eth_call"] });
    expect(await held(paid.block)).toEqual({
      kind: "untold",
      reason: expect.stringContaining("missing trie node"),
    });
    // It is well, for all else that it is asked.
    expect(nodes.nodes().map(({ consecutiveErrors }) => consecutiveErrors)).toEqual([0, 0]);
  });

  it("E1: is told by as many nodes as are asked for, and unknown where they do not agree", async () => {
    expect(await held(paid.block, 2)).toEqual({ kind: "told", amountBaseUnits: PAID, nodes: 2 });
    second.lie(lies.result(`0x${"0".repeat(63)}1`), { methods: ["eth_call"] });
    expect(await held(paid.block, 2)).toEqual({
      kind: "untold",
      reason: expect.stringMatching(/^the nodes tell different balances/),
    });
    second.tellTruth();
    second.lie(pruned, { methods: ["eth_call"] });
    expect((await held(paid.block, 2)).kind).toBe("untold");
  });

  it("is unknown where an answer is no balance, and where a node is gone", async () => {
    for (const wrong of [null, "", "0x1", "0xzz", {}, `0x${"0".repeat(66)}`]) {
      for (const proxy of [first, second]) proxy.lie(lies.result(wrong), { methods: ["eth_call"] });
      expect((await held(paid.block)).kind).toBe("untold");
      for (const proxy of [first, second]) proxy.tellTruth();
    }
    for (const proxy of [first, second]) proxy.lie(lies.reset());
    expect((await held(paid.block)).kind).toBe("untold");
  });

  it("is told of a balance of 2^256 − 1", async () => {
    const args = ["Large", "LRG", 6] as const;
    const token = await anvil.deploy(
      encodeDeployData({ abi: tokenAbi, bytecode: await contractCode("Token"), args }),
    );
    await anvil.client.writeContract({
      address: token,
      abi: tokenAbi,
      functionName: "mint",
      args: [alice, 2n ** 256n - 1n],
      account: anvil.account(0),
    });
    const block = await anvil.mine();
    expect(await held(block, 1, token)).toMatchObject({ amountBaseUnits: 2n ** 256n - 1n });
  });
});

describe.each([
  ["hardhat node", startHardhat],
  ["ganache", startGanache],
])("%s", (_name, start) => {
  it("E1: tells balances after a past block", { timeout: 120_000 }, async () => {
    const node = await start();
    const nodes = testNodes([node.url]);
    try {
      const { token, block, parent } = await pay(node);
      const at = (header: BlockHeader) => nodes.balance({ token, holder: alice, block: header }, 1);
      expect(await at(parent)).toEqual({ kind: "told", amountBaseUnits: 0n, nodes: 1 });
      expect(await at(block)).toEqual({ kind: "told", amountBaseUnits: PAID, nodes: 1 });
    } finally {
      await nodes.close();
      await node.stop();
    }
  });
});
