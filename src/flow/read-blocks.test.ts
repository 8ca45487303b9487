/** Blocks read by threads, from a real node: the same, in order, judged as ever, and nothing is left behind. */
import { encodeFunctionData } from "viem";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import type { BlockHeader, ListedTransfers } from "../core/chain.ts";
import type { Address } from "../core/hex.ts";
import type { VerificationMode } from "../core/verification.ts";
import { listDeposits } from "../deposits/deposit-list-store.ts";
import { type AddressTable, createAddressTable } from "../matcher/address-table.ts";
import { registerAddress } from "../merchants/address-store.ts";
import type { ChainNodes } from "../rpc/chain-nodes.ts";
import { systemClock } from "../runtime/clock.ts";
import type { ChainConfig } from "../runtime/config/config.ts";
import { silentLogger } from "../runtime/logger.ts";
import { systemRandom } from "../runtime/random.ts";
import { getChainState } from "../scanner/chain-store.ts";
import { type Anvil, startAnvil, type TestToken } from "../testing/anvil.ts";
import { batcherAbi, contractCode, tokenAbi } from "../testing/contracts.ts";
import { createTestDatabase, type TestDatabase } from "../testing/database.ts";
import { addressOf, assetOf, atDepth, CHAIN_ID, hashOf, MERCHANT_ID } from "../testing/factory.ts";
import { type FollowerOptions, startFollower } from "../testing/follower.ts";
import * as lies from "../testing/lies.ts";
import { type NodeProxy, startNodeProxy } from "../testing/node-proxy.ts";
import { testNodes } from "../testing/nodes.ts";
import { waitFor } from "../testing/wait-for.ts";
import { createFetchThreads, type FetchThreads } from "./fetch-threads.ts";
import { followChain } from "./follow-chain.ts";
import { readBlocks } from "./read-blocks.ts";

const alice = addressOf("alice");
const PATIENCE = { timeoutMs: 60_000 };

let anvil: Anvil;
let token: TestToken;
/** The blocks with the payments, and the empty ones between them. */
let first: bigint;
let head: BlockHeader;
let proxy: NodeProxy;
let stops: (() => Promise<void>)[];

beforeAll(async () => {
  anvil = await startAnvil({ mining: "manual" });
  token = await anvil.deployToken();
  const batcher = await anvil.deploy(await contractCode("Batcher"));
  const approval = encodeFunctionData({ abi: tokenAbi, functionName: "approve", args: [batcher, 10_000n] });
  await anvil.send({ to: token.address, data: approval });
  first = (await anvil.mine(1)).number + 1n;
  for (let block = 0; block < 12; block++) {
    // Two logs in one receipt: with one of them left out its bloom is the same.
    const pay = [300n, 400n].map((value) => ({ token: token.address, to: alice, value }));
    const data = encodeFunctionData({ abi: batcherAbi, functionName: "pay", args: [pay] });
    await anvil.send({ to: batcher, data });
    await anvil.sendEth(alice, 5n + BigInt(block));
    await anvil.mine(20);
  }
  head = await anvil.head();
});
afterAll(() => anvil.stop());
beforeEach(async () => {
  stops = [];
  proxy = await startNodeProxy(anvil.url);
});
afterEach(async () => {
  for (const stop of stops.reverse()) await stop();
  await proxy.stop();
});

function chainAt(urls: readonly string[], verification: VerificationMode): ChainConfig {
  const policy = [{ upToBaseUnits: null, credit: atDepth(3), unlock: atDepth(7) }];
  return {
    id: CHAIN_ID,
    name: "test",
    nodes: urls.map((url) => ({ url, wsUrl: null, maxConcurrency: null })),
    startBlock: 0n,
    blockTimeMs: 1_000,
    pollIntervalMs: 20,
    reorgWindow: 64,
    fetchConcurrency: 8,
    fetchThreads: 2,
    backfill: "blocks",
    internal: "none",
    nativeSource: "value",
    verification,
    witnesses: 1,
    mempool: false,
    ownWallets: [],
    assets: [assetOf({ policy }), assetOf({ token: token.address, currency: "USDT", decimals: 6, policy })],
  };
}

function threadsFor(chain: ChainConfig): FetchThreads {
  const threads = createFetchThreads({ chain, clock: systemClock, logger: silentLogger });
  stops.push(threads.close);
  return threads;
}

/** Each block goes to them first, as if the reader's own thread were always busy. */
function busyThreadsFor(chain: ChainConfig): FetchThreads {
  return { ...threadsFor(chain), leastUnderWay: () => 0 };
}

function nodesFor(chain: ChainConfig): ChainNodes {
  const nodes = testNodes(chain.nodes, { verification: chain.verification });
  stops.push(nodes.close);
  return nodes;
}

function tableOf(...addresses: readonly Address[]): AddressTable {
  const table = createAddressTable(systemRandom.bytes(16));
  for (const address of addresses) table.add(address);
  return table;
}

/** Those to alice. */
async function readAll(
  chain: ChainConfig,
  threads: FetchThreads | undefined,
  { signal = new AbortController().signal, onBlock = (_block: ListedTransfers): void => undefined } = {},
): Promise<ListedTransfers[]> {
  const parts = {
    nodes: nodesFor(chain),
    chain,
    ingest: { nativeSource: chain.nativeSource, watch: { table: tableOf(alice), lastNumber: 0n } },
    threads,
  };
  const options = { from: first, to: head.number, concurrency: chain.fetchConcurrency, signal };
  const blocks: ListedTransfers[] = [];
  for await (const read of readBlocks(parts, options)) {
    const block = { ...read, transfers: read.transfers.filter(({ to }) => to === alice) };
    blocks.push(block);
    onBlock(block);
  }
  return blocks;
}

describe("blocks read by threads", { timeout: 90_000 }, () => {
  it.each(["auto", "none"] as const)("are those read without, in order (verification: %s)", async (mode) => {
    const chain = chainAt([anvil.url], mode);
    const threads = busyThreadsFor(chain);
    const byThreads = await readAll(chain, threads);
    expect(threads.count()).toBe(2);
    expect(byThreads).toEqual(await readAll(chain, undefined));
    expect(byThreads.flatMap((block) => block.transfers)).toHaveLength(36);
  });

  it("are asked by no thread where an operator set how many requests there may be", async () => {
    const chain = chainAt([anvil.url], "auto");
    const counted = { ...chain, nodes: chain.nodes.map((node) => ({ ...node, maxConcurrency: 4 })) };
    const threads = threadsFor(counted);
    expect(await readAll(counted, threads)).toHaveLength(Number(head.number - first) + 1);
    expect(threads.count()).toBe(0);
  });

  it("end with the node's error when it goes away, and are read again when it is back", async () => {
    const chain = chainAt([proxy.url], "none");
    const threads = threadsFor(chain);
    const goAway = ({ block }: ListedTransfers) => {
      if (block.number === first + 50n) proxy.lie(lies.badGateway());
    };
    await expect(readAll(chain, threads, { onBlock: goAway })).rejects.toMatchObject({ retryable: true });
    proxy.tellTruth();
    expect(await readAll(chain, threads)).toHaveLength(Number(head.number - first) + 1);
  });

  it("are all read, though the threads end in the middle of it", async () => {
    const chain = chainAt([anvil.url], "none");
    const threads = busyThreadsFor(chain);
    const ending: Promise<void>[] = [];
    const end = ({ block }: ListedTransfers) => {
      if (block.number === first + 50n) ending.push(threads.close());
    };
    expect(await readAll(chain, threads, { onBlock: end })).toEqual(await readAll(chain, undefined));
    expect(ending).toHaveLength(1);
    await Promise.all(ending);
  });

  it("stop at once when the signal says so, and the threads end though the node never answers", async () => {
    const chain = chainAt([proxy.url], "none");
    const threads = threadsFor(chain);
    const stopping = new AbortController();
    const reading = readAll(chain, threads, {
      signal: stopping.signal,
      onBlock: ({ block }) => {
        if (block.number === first + 50n) proxy.lie(lies.hang());
      },
    });
    const outcome = expect(reading).rejects.toThrow("enough");
    await waitFor(() => proxy.calls.get("eth_getBlockReceipts") !== undefined, PATIENCE);
    stopping.abort(new Error("enough"));
    await outcome;
    await threads.close();
    expect(threads.count()).toBe(0);
  });

  it("C2: a log left out is refused as ever, counted, and read from the node that has it", async () => {
    proxy.lie(lies.dropLog(1), { methods: ["eth_getBlockReceipts"] });
    const honest = await readAll(chainAt([anvil.url], "auto"), undefined);
    const chain = chainAt([proxy.url, anvil.url], "auto");
    const refused: string[] = [];
    const nodes = testNodes(chain.nodes, { events: { onRefused: (node) => void refused.push(node) } });
    const test = await createTestDatabase();
    stops.push(test.drop);
    const deposits = await followToHead(test, chain, nodes);
    expect(refused.length).toBeGreaterThan(0);
    expect(new Set(refused)).toEqual(new Set([new URL(proxy.url).host]));
    const paid = honest.flatMap(({ transfers }) => transfers);
    expect(deposits.map(({ amountBaseUnits }) => amountBaseUnits).sort()).toEqual(
      paid.map(({ amountBaseUnits }) => amountBaseUnits).sort(),
    );
  });

  it("are read again as a whole for an address that was registered after they were read", async () => {
    const chain = chainAt([anvil.url], "proved");
    const test = await createTestDatabase();
    stops.push(test.drop);
    await insertMerchant(test);
    const threads = busyThreadsFor(chain);
    const run: FollowerOptions["run"] = async (parts, signal) => {
      // The watch is loaded already; the look for what is new is part of the first commit.
      await registerAlice(test);
      await followChain(parts, signal);
    };
    const follower = await startFollower(test, { chain, nodes: nodesFor(chain), threads, run });
    stops.push(follower.stop);
    expect(await depositsAtHead(test)).toHaveLength(36);
    expect(threads.count()).toBe(2);
  });

  it("C12: a payment under a hash that is not its transaction's is refused, wherever it is read", async () => {
    const [paying] = await readAll(chainAt([anvil.url], "proved"), undefined);
    const { txHash } = paying?.transfers[0] ?? {};
    if (typeof txHash !== "string") throw new Error("The first block holds no payment");
    const chain = chainAt([proxy.url], "proved");
    proxy.lie(lies.rename(txHash, hashOf("another")));
    for (const threads of [busyThreadsFor(chain), undefined]) {
      await expect(readAll(chain, threads)).rejects.toMatchObject({ code: "node_answer_invalid" });
    }
  });

  it("C2: a log left out by the only node is never passed: the cursor stays below it", async () => {
    const chain = chainAt([proxy.url], "proved");
    proxy.lie(lies.dropLog(1), { methods: ["eth_getBlockReceipts"] });
    const threads = busyThreadsFor(chain);
    const read: ListedTransfers[] = [];
    const reading = readAll(chain, threads, { onBlock: (block) => void read.push(block) });
    await expect(reading).rejects.toMatchObject({ code: "node_answer_invalid" });
    expect(threads.count()).toBe(2);
    const honest = await readAll(chainAt([anvil.url], "proved"), undefined);
    expect(read).toEqual(honest.slice(0, read.length));
  });
});

/** Follows the chain by threads until its head; returns the deposits that were found. */
async function followToHead(test: TestDatabase, chain: ChainConfig, nodes: ChainNodes) {
  await insertMerchant(test);
  await registerAlice(test);
  const threads = threadsFor(chain);
  const follower = await startFollower(test, { chain, nodes, threads });
  stops.push(follower.stop);
  const deposits = await depositsAtHead(test);
  expect(threads.count()).toBe(2);
  return deposits;
}

function insertMerchant({ database }: TestDatabase): Promise<unknown> {
  return database.query("INSERT INTO merchants (id, name) VALUES ($1, 'Test')", [MERCHANT_ID]);
}

function registerAlice({ database }: TestDatabase): Promise<unknown> {
  return registerAddress(database, { address: alice, merchantId: MERCHANT_ID, userId: "alice" });
}

async function depositsAtHead(test: TestDatabase) {
  await waitFor(
    async () => (await getChainState(test.database, CHAIN_ID)).cursorHash === head.hash,
    PATIENCE,
  );
  const found = await listDeposits(test.database, { merchantId: MERCHANT_ID, limit: 100 });
  return found.map(({ deposit }) => deposit);
}
