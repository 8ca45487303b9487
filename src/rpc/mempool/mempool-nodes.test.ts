/** Mempools of a real node, through a proxy that lies about them. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { systemClock } from "../../runtime/clock.ts";
import { type Anvil, startAnvil } from "../../testing/anvil.ts";
import { addressOf, hashOf } from "../../testing/factory.ts";
import { startGanache } from "../../testing/ganache.ts";
import { startHardhat } from "../../testing/hardhat.ts";
import { changed, hang, methodMissing, otherChain, result, rpcError } from "../../testing/lies.ts";
import { type NodeProxy, startNodeProxy } from "../../testing/node-proxy.ts";
import type { TestNode } from "../../testing/test-node.ts";
import { waitFor } from "../../testing/wait-for.ts";
import { createMempoolNodes, type MempoolNodes } from "./mempool-nodes.ts";

const FILTER = ["eth_newPendingTransactionFilter", "eth_getFilterChanges"];

let chain: Anvil;
let proxy: NodeProxy;
let nodes: MempoolNodes;

beforeAll(async () => {
  chain = await startAnvil({ mining: "manual" });
  proxy = await startNodeProxy(chain.url);
});
beforeEach(() => {
  nodes = mempoolOf(proxy.url);
});
afterEach(async () => {
  await nodes.close();
  proxy.tellTruth();
  await chain.mine();
});
afterAll(async () => {
  await proxy.stop();
  await chain.stop();
});

function mempoolOf(...urls: string[]): MempoolNodes {
  return createMempoolNodes({
    chain: { id: chain.chainId, nodes: urls.map((url) => ({ url, maxConcurrency: null })) },
    clock: systemClock,
  });
}

const bob = addressOf("bob");
const hashes = async () => (await nodes.look()).transactions.map((transaction) => transaction.hash);

describe("looking at a mempool", () => {
  it("finds what waits already at the first look, and afterwards what is new", async () => {
    const first = await chain.sendEth(bob, 5n);
    expect(await hashes()).toEqual([first]);
    expect(await hashes()).toEqual([]);
    const second = await chain.sendEth(bob, 6n);
    const look = await nodes.look();
    expect(look).toMatchObject({ isAnswered: true, junkCount: 0, leftOutCount: 0 });
    expect(look.transactions).toEqual([
      {
        hash: second,
        from: chain.account(0).address,
        to: bob,
        nonce: expect.any(BigInt),
        valueWei: 6n,
        input: "0x",
      },
    ]);
    expect(nodes.status()).toMatchObject([{ method: "eth_newPendingTransactionFilter", problem: null }]);
  });

  it.each([
    ["txpool_content", FILTER],
    ["eth_getBlockByNumber", [...FILTER, "txpool_content"]],
  ])("goes by %s where the node offers nothing better", async (method, missing) => {
    proxy.lie(methodMissing(), { methods: missing });
    const hash = await chain.sendEth(bob, 5n);
    expect(await hashes()).toEqual([hash]);
    expect(await hashes()).toEqual([hash]);
    expect(nodes.status()).toMatchObject([{ method }]);
    expect(await nodes.probe()).toMatchObject([{ method, problem: null }]);
  });

  it("says so when a node offers nothing", async () => {
    proxy.lie(methodMissing(), { methods: [...FILTER, "txpool_content", "eth_getBlockByNumber"] });
    expect(await nodes.probe()).toEqual([{ node: expect.any(String), method: null, problem: null }]);
    expect(await nodes.look()).toMatchObject({ isAnswered: false, transactions: [] });
    expect(nodes.status()).toMatchObject([{ method: null }]);
  });

  it("opens another filter when the node has lost it", async () => {
    await nodes.look();
    proxy.lie(rpcError(-32000, "filter not found"), { methods: ["eth_getFilterChanges"], times: 1 });
    expect(await nodes.look()).toMatchObject({ isAnswered: false, transactions: [] });
    const hash = await chain.sendEth(bob, 5n);
    // It rests for a moment after its failure.
    await expect.poll(hashes, { timeout: 10_000 }).toEqual([hash]);
    expect(nodes.status()).toMatchObject([{ method: "eth_newPendingTransactionFilter" }]);
  });

  it("leaves junk out and takes the rest", async () => {
    proxy.lie(methodMissing(), { methods: FILTER });
    const good = await chain.sendEth(bob, 5n);
    const junk = [
      null,
      7,
      "text",
      {},
      { hash: "0x12" },
      { hash: good, from: null, nonce: "0x0", value: "0x1" },
      { hash: good, from: bob, to: bob, nonce: "0x0" },
      { hash: good, from: bob, to: "nobody", nonce: "0x0", value: "0x1" },
      { hash: good, from: bob, to: bob, nonce: "0x0", value: "-1", input: "0x" },
      { hash: good, from: bob, to: bob, nonce: `0x${"f".repeat(64)}`, value: "0x1" },
      { hash: good, from: bob, to: bob, nonce: "0x0", value: "0x1", input: { length: 9 } },
      { hash: good, from: bob, to: bob, nonce: "0x0", value: "0x1", chainId: "0x1" },
    ];
    proxy.lie(
      changed((pool) => {
        const { pending } = pool as { pending: object };
        return { pending: { ...pending, [bob]: { ...junk }, "": 9, [hashOf("x")]: null } };
      }),
      { methods: ["txpool_content"] },
    );
    const look = await nodes.look();
    expect(look.transactions.map((transaction) => transaction.hash)).toEqual([good]);
    expect(look.junkCount).toBe(junk.length + 2);
  });

  it("takes a transaction of an unknown type, and keeps little of a huge input", async () => {
    proxy.lie(methodMissing(), { methods: FILTER });
    const huge = {
      hash: hashOf("huge"),
      type: "0x7f",
      from: bob,
      to: bob,
      nonce: "0x1",
      value: "0x1",
      input: `0x${"ab".repeat(2_000_000)}`,
    };
    proxy.lie(result({ pending: { [bob]: { 1: huge } }, queued: {} }), { methods: ["txpool_content"] });
    const { transactions, junkCount } = await nodes.look();
    expect(junkCount).toBe(0);
    expect(transactions.map(({ hash, input }) => [hash, input.length])).toEqual([[huge.hash, 202]]);
  });

  it("takes no more than so many at once, and counts the rest", async () => {
    proxy.lie(methodMissing(), { methods: FILTER });
    const one = { from: bob, to: bob, nonce: "0x1", value: "0x1" };
    const many = Array.from({ length: 1_500 }, (_, n) => ({ ...one, hash: hashOf(`many ${n}`) }));
    proxy.lie(result({ pending: { [bob]: { ...many } } }), { methods: ["txpool_content"] });
    const look = await nodes.look();
    expect(look.transactions).toHaveLength(1_000);
    expect(look.leftOutCount).toBe(500);
  });

  it("does not take one transaction's body for another's", async () => {
    await nodes.look();
    const hash = await chain.sendEth(bob, 5n);
    proxy.lie(
      changed((body) => ({ ...(body as object), hash: hashOf("other") })),
      {
        methods: ["eth_getTransactionByHash"],
      },
    );
    expect(await nodes.look()).toMatchObject({ transactions: [], junkCount: 1 });
    await expect(nodes.whereIs(hash)).resolves.toBeNull();
  });

  it("asks nothing of a node of another chain, and goes on with the others", async () => {
    proxy.lie(otherChain(1), { methods: ["eth_chainId"] });
    await nodes.close();
    nodes = mempoolOf(proxy.url, chain.url);
    const hash = await chain.sendEth(bob, 5n);
    proxy.resetCalls();
    expect(await hashes()).toEqual([hash]);
    expect([...proxy.calls.keys()]).toEqual(["eth_chainId"]);
  });

  it("goes on to the next method when one fails again and again", async () => {
    proxy.lie(result("junk"), { methods: ["eth_getFilterChanges"] });
    const hash = await chain.sendEth(bob, 5n);
    expect(await hashes()).toEqual([hash]);
    const method = async () => {
      await nodes.look();
      return nodes.status()[0]?.method;
    };
    await expect.poll(method, { timeout: 30_000 }).toBe("txpool_content");
    expect(await hashes()).toEqual([hash]);
  });

  it("gives up when it is told to stop", async () => {
    proxy.lie(hang());
    const stop = new AbortController();
    const looking = nodes.look(stop.signal);
    stop.abort(new Error("stop"));
    await expect(looking).rejects.toThrow("stop");
  });
});

describe("asking where a transaction is", () => {
  it("knows it waiting, mined, and not at all", async () => {
    const hash = await chain.sendEth(bob, 5n);
    expect(await nodes.whereIs(hash)).toEqual({ is: "waiting" });
    const block = await chain.mine();
    expect(await nodes.whereIs(hash)).toEqual({
      is: "mined",
      block: { number: block.number, hash: block.hash },
    });
    expect(await nodes.whereIs(hashOf("nothing"))).toEqual({ is: "unknown" });
  });

  it("does not know when nobody answers", async () => {
    proxy.lie(rpcError(-32000, "transaction indexing is in progress"));
    expect(await nodes.whereIs(hashOf("nothing"))).toBeNull();
    expect(await nodes.nonceUse(bob, 0n)).toBeNull();
  });

  it("believes the node that knows it over the one that does not", async () => {
    proxy.lie(result(null), { methods: ["eth_getTransactionByHash"] });
    await nodes.close();
    nodes = mempoolOf(proxy.url, chain.url);
    const hash = await chain.sendEth(bob, 5n);
    expect(await nodes.whereIs(hash)).toEqual({ is: "waiting" });
  });

  it("finds which transaction used up a nonce, some blocks back", async () => {
    const sender = chain.account(3);
    expect(await nodes.nonceUse(sender.address, 0n)).toEqual({ isUsed: false, by: null });
    const used = await chain.sendEth(bob, 1n, sender);
    await chain.mine();
    await chain.mine(20);
    expect(await nodes.nonceUse(sender.address, 0n)).toEqual({ isUsed: true, by: used });
    await chain.mine(70);
    expect(await nodes.nonceUse(sender.address, 0n)).toEqual({ isUsed: true, by: null });
  });
});

describe.each([
  ["hardhat", startHardhat],
  ["ganache", startGanache],
])("%s", (name, start) => {
  let other: TestNode;
  beforeAll(async () => {
    other = await start(chain.chainId);
  });
  afterAll(() => other.stop());

  it("shows what waits, where it is, and what took its nonce", async () => {
    const mempool = mempoolOf(other.url);
    try {
      expect(await mempool.probe()).toMatchObject([{ problem: null, method: expect.any(String) }]);
      await mempool.look();
      const sender = other.account(1);
      const first = await other.sendEth(bob, 5n, sender);
      const find = async (hash: string) =>
        (await mempool.look()).transactions.find((transaction) => transaction.hash === hash);
      const found = await waitFor(() => find(first), { timeoutMs: 30_000, what: "the payment to be seen" });
      expect(found).toEqual({
        hash: first,
        from: sender.address,
        to: bob,
        nonce: 0n,
        valueWei: 5n,
        input: "0x",
      });
      expect(await mempool.whereIs(first)).toEqual({ is: "waiting" });
      expect(await mempool.nonceUse(sender.address, 0n)).toEqual({ isUsed: false, by: null });

      // ganache does not know replacement: it mines both, with one nonce.
      if (name === "ganache") {
        const { number, hash } = await other.mine();
        expect(await mempool.whereIs(first)).toEqual({ is: "mined", block: { number, hash } });
        expect(await mempool.nonceUse(sender.address, 0n)).toEqual({ isUsed: true, by: first });
        return;
      }
      const raw = await sender.signTransaction({
        type: "eip1559",
        chainId: chain.chainId,
        nonce: 0,
        to: addressOf("nobody"),
        value: 1n,
        gas: 100_000n,
        maxFeePerGas: 300_000_000_000n,
        maxPriorityFeePerGas: 3_000_000_000n,
      });
      const second = await other.sendRaw(raw);
      await waitFor(() => find(second), { timeoutMs: 30_000, what: "the other to be seen" });
      expect(await mempool.whereIs(first)).toEqual({ is: "unknown" });
      const block = await other.mine();
      expect(await mempool.whereIs(second)).toEqual({
        is: "mined",
        block: { number: block.number, hash: block.hash },
      });
      expect(await mempool.nonceUse(sender.address, 0n)).toEqual({ isUsed: true, by: second });
    } finally {
      await mempool.close();
    }
  });
});
