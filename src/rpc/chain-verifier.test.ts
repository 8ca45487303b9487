/** Blocks of a real node, through proxies that lie: what is believed of them, and what is not. */
import { encodeFunctionData } from "viem";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import type { BlockHeader } from "../core/chain.ts";
import type { Address } from "../core/hex.ts";
import { type Anvil, startAnvil, type TestToken } from "../testing/anvil.ts";
import { batcherAbi, contractCode, tokenAbi } from "../testing/contracts.ts";
import * as lies from "../testing/lies.ts";
import { type NodeProxy, startNodeProxy } from "../testing/node-proxy.ts";
import { type TestNodesOptions, testNodes } from "../testing/nodes.ts";
import type { ChainNodes } from "./chain-nodes.ts";

const ALL_PROVED = { level: "proved", logs: "proved", values: "proved", withdrawals: "proved" };
const RECEIPTS = { methods: ["eth_getBlockReceipts"] };
const BLOCKS = { methods: ["eth_getBlockByHash", "eth_getBlockByNumber"] };
const watched: Address = `0x${"ab".repeat(20)}`;
const forger: Address = `0x${"cd".repeat(20)}`;

let chain: Anvil;
let token: TestToken;
let batcher: Address;
let first: NodeProxy;
let second: NodeProxy;
/** Four token transfers in one transaction, and a native one. */
let full: BlockHeader;
let later: BlockHeader;
const opened: ChainNodes[] = [];

/** With what the chain reaches found out already, while its nodes still tell the truth. */
async function open(proxies: readonly NodeProxy[], options: TestNodesOptions = {}): Promise<ChainNodes> {
  const urls = proxies.map(({ url }) => url);
  const nodes = testNodes(urls, { retry: { rounds: 1 }, ...options });
  opened.push(nodes);
  await nodes.blockByNumber(1n);
  return nodes;
}

beforeAll(async () => {
  chain = await startAnvil({ mining: "manual", hardfork: "prague" });
  first = await startNodeProxy(chain.url);
  second = await startNodeProxy(chain.url);
  token = await chain.deployToken();
  batcher = await chain.deploy(await contractCode("Batcher"));
  const data = encodeFunctionData({ abi: tokenAbi, functionName: "approve", args: [batcher, 100n] });
  await chain.send({ to: token.address, data });
  await chain.mine();
  await payInBatch();
  await chain.sendEth(watched, 7n);
  full = await chain.mine();
  await payInBatch();
  later = await chain.mine();
});
afterEach(async () => {
  for (const proxy of [first, second]) proxy.tellTruth();
  for (const nodes of opened.splice(0)) await nodes.close();
});
afterAll(async () => {
  await Promise.all([first.stop(), second.stop()]);
  await chain.stop();
});

/** Four token transfers to the same address in one receipt: with any of them the bloom is the same. */
async function payInBatch(): Promise<void> {
  const pay = [5n, 6n, 5n, 7n].map((value) => ({ token: token.address, to: watched, value }));
  const data = encodeFunctionData({ abi: batcherAbi, functionName: "pay", args: [pay] });
  await chain.send({ to: batcher, data });
}

type Fields = Record<string, unknown>;
const list = (value: unknown) => value as Fields[];

/** A native deposit that is not there: somebody else's value, told with another recipient. */
const otherRecipient = lies.changed((result) => {
  const block = result as Fields;
  const transactions = list(block["transactions"]).map((each) =>
    each["value"] === "0x7" ? { ...each, to: forger } : each,
  );
  return { ...block, transactions };
});

/** All of the block's tokens, as if they had moved to the forger. */
const inventedLog = lies.changed((result) =>
  list(result).map((receipt) => {
    const logs = list(receipt["logs"]).map((log) => ({
      ...log,
      topics: (log["topics"] as string[]).map((topic, place) =>
        place === 2 ? `0x${"00".repeat(12)}${forger.slice(2)}` : topic,
      ),
    }));
    return { ...receipt, logs };
  }),
);

/** The last log of each receipt once more. */
const logAtTheEnd = lies.changed((result) =>
  list(result).map((receipt) => {
    const logs = list(receipt["logs"]);
    const again = logs.slice(-1).map((log) => ({ ...log, logIndex: `0x${logs.length.toString(16)}` }));
    return { ...receipt, logs: [...logs, ...again] };
  }),
);

describe("a chain that proves its blocks", () => {
  it("is found out to do so, and its blocks are told as proved", async () => {
    const nodes = await open([first]);
    expect((await nodes.blockByHash(full.hash)).verification).toEqual(ALL_PROVED);
    expect(nodes.verification.state()).toMatchObject({ level: "proved", expected: "proved", alarm: null });
  });

  it.each([
    ["C2: a log left out", lies.dropLog(1), RECEIPTS],
    ["C2, D2: a log beyond the second left out", lies.dropLog(2), RECEIPTS],
    ["C2, D2: the last of many logs left out", lies.dropLog(3), RECEIPTS],
    ["C12, D2: a log more, behind many", logAtTheEnd, RECEIPTS],
    ["C12: an invented recipient of value", otherRecipient, { methods: ["eth_getBlockByHash"] }],
    ["C12: an invented recipient of a token", inventedLog, RECEIPTS],
  ])("%s is refused, and another node's answer is taken", async (_what, lie, scope) => {
    const refused: string[] = [];
    const events = { onRefused: (node: string) => refused.push(node) };
    first.lie(lie, scope);
    const alone = await openKnowing([first], events);
    await expect(alone.blockByHash(full.hash)).rejects.toMatchObject({ code: "node_answer_invalid" });
    expect(refused).toEqual([new URL(first.url).host]);

    const both = await openKnowing([first, second], events);
    const block = await both.blockByHash(full.hash);
    expect(block.verification).toEqual(ALL_PROVED);
    expect(block.receipts.map(({ logs }) => logs.length)).toEqual([4, 0]);
    expect(block.transactions.map(({ to }) => to)).not.toContain(forger);
    expect(both.verification.state().alarm).toBeNull();
  });

  /** The nodes lie from their first answer on; what the chain reaches is known from before. */
  async function openKnowing(proxies: readonly NodeProxy[], events: TestNodesOptions["events"]) {
    const truthful = testNodes([chain.url]);
    await truthful.blockByNumber(1n);
    const nodes = testNodes(
      proxies.map(({ url }) => url),
      { retry: { rounds: 1 }, ...(events === undefined ? {} : { events }) },
    );
    nodes.verification.restore(truthful.verification.state(), null);
    opened.push(nodes, truthful);
    return nodes;
  }

  it("C4: receipts of another block are refused", async () => {
    const nodes = await open([first]);
    first.lie(lies.aboutBlock(later.hash), RECEIPTS);
    await expect(nodes.blockByHash(full.hash)).rejects.toMatchObject({ code: "node_answer_invalid" });
  });

  it("is not held to less because one of its nodes lies while it is found out", async () => {
    first.lie(lies.dropLog(0), RECEIPTS);
    const nodes = await open([first, second]);
    expect(nodes.verification.state()).toMatchObject({ expected: "proved" });
    await expect(nodes.blockByHash(full.hash)).resolves.toMatchObject({ verification: ALL_PROVED });
  });
});

describe("a fork that adds a field to the header", () => {
  it("lowers the level with an alarm, and goes on; when the level is back, so is the silence", async () => {
    let drops = 0;
    const nodes = await open([first], { events: { onDropped: () => (drops += 1) } });
    first.lie(lies.unknownField(full.number), BLOCKS);
    const forked = await nodes.blockByHash(full.hash);
    expect(forked.verification).toEqual({
      level: "bloom",
      logs: "bloom",
      values: "none",
      withdrawals: "none",
    });
    expect(nodes.verification.state()).toMatchObject({
      level: "bloom",
      expected: "proved",
      alarm: expect.stringContaining("header.futureRoot"),
    });
    await nodes.blockByHash(later.hash);
    expect(drops).toBe(1);

    first.tellTruth();
    expect((await nodes.blockByHash(later.hash)).verification).toEqual(ALL_PROVED);
    expect(nodes.verification.state()).toMatchObject({ level: "proved", alarm: null });
  });

  it("C2: excuses no log that is left out", async () => {
    const nodes = await open([first]);
    first.lie(lies.unknownField(full.number), BLOCKS);
    await nodes.blockByHash(full.hash);
    first.lie(lies.dropLog(0), RECEIPTS);
    await expect(nodes.blockByHash(later.hash)).rejects.toMatchObject({ code: "node_answer_invalid" });
  });

  it("is believed of two nodes only when both tell of it", async () => {
    const nodes = await open([first, second]);
    first.lie(lies.unknownField(), BLOCKS);
    expect((await nodes.blockByHash(full.hash)).verification).toEqual(ALL_PROVED);
    expect(nodes.verification.state().alarm).toBeNull();
    second.lie(lies.unknownField(), BLOCKS);
    expect((await nodes.blockByHash(full.hash)).verification).toMatchObject({ level: "bloom" });
    expect(nodes.verification.state().alarm).toContain("header.futureRoot");
  });
});

describe("what the config asks for", () => {
  it("proved: takes no block below that, whatever the fork", async () => {
    const nodes = await open([first], { verification: "proved" });
    first.lie(lies.unknownField(), BLOCKS);
    await expect(nodes.blockByHash(full.hash)).rejects.toThrow(/verification: proved/);
  });

  it("bloom: takes what the logs' bloom shows, and refuses what it does not", async () => {
    const nodes = await open([first], { verification: "bloom" });
    first.lie(otherRecipient, { methods: ["eth_getBlockByHash"] });
    expect((await nodes.blockByHash(full.hash)).verification).toMatchObject({
      level: "bloom",
      values: "none",
    });
    first.lie(inventedLog, RECEIPTS);
    await expect(nodes.blockByHash(full.hash)).rejects.toThrow(/verification: bloom/);
  });

  it("none: looks at nothing, and says so", async () => {
    const nodes = await open([first], { verification: "none" });
    first.lie(lies.dropLog(0), RECEIPTS);
    expect((await nodes.blockByHash(full.hash)).verification).toMatchObject({ level: "none", logs: "none" });
    expect(nodes.verification.state().memory).toBeNull();
  });
});
