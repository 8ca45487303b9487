/** Catching up by ranges of logs, through nodes with the limits of several providers. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import type { Deposit } from "../core/deposit.ts";
import type { Address } from "../core/hex.ts";
import { listDeposits } from "../deposits/deposit-list-store.ts";
import { registerAddress } from "../merchants/address-store.ts";
import type { ChainConfig } from "../runtime/config/config.ts";
import { createLogger, type Logger } from "../runtime/logger.ts";
import { listBlockRefs } from "../scanner/block-ref-store.ts";
import { getChainState } from "../scanner/chain-store.ts";
import { type Anvil, startAnvil, type TestToken } from "../testing/anvil.ts";
import { createTestDatabase, type TestDatabase } from "../testing/database.ts";
import { addressOf, assetOf, atDepth, CHAIN_ID, MERCHANT_ID } from "../testing/factory.ts";
import { contextOf, type FollowerOptions, startFollower, type TestFollower } from "../testing/follower.ts";
import * as lies from "../testing/lies.ts";
import { type NodeProxy, startNodeProxy } from "../testing/node-proxy.ts";
import { testNodes } from "../testing/nodes.ts";
import { waitFor } from "../testing/wait-for.ts";
import { rescan } from "./rescan.ts";

const alice = addressOf("alice");
const late = addressOf("late");
/** Where tokens went to alice; between them lie blocks of nothing, and of payments to strangers. */
const PAID = [3, 4, 90, 91, 250, 420, 421, 422, 560];
const PAID_LATE = 300;
const HEAD = 640;
const REORG_WINDOW = 16;
/** The first block read whole: what is kept must be consecutive when the head is reached. */
const LAST_LOGGED = BigInt(HEAD - REORG_WINDOW);

let anvil: Anvil;
let token: TestToken;
let first: NodeProxy;
let second: NodeProxy;
let test: TestDatabase;
let stops: (() => Promise<void>)[];

beforeAll(async () => {
  anvil = await startAnvil({ mining: "manual", slotsInAnEpoch: 2 });
  token = await anvil.deployToken();
  await mineHistory();
  first = await startNodeProxy(anvil.url);
  second = await startNodeProxy(anvil.url);
});
afterAll(async () => {
  await Promise.all([first.stop(), second.stop()]);
  await anvil.stop();
});
beforeEach(async () => {
  stops = [];
  test = await createTestDatabase();
  await test.database.query("INSERT INTO merchants (id, name) VALUES ($1, 'Test')", [MERCHANT_ID]);
  await register(alice, "alice");
});
afterEach(async () => {
  for (const stop of stops.reverse()) await stop();
  await test.drop();
  for (const proxy of [first, second]) {
    proxy.tellTruth();
    proxy.resetCalls();
  }
});

async function mineHistory(): Promise<void> {
  const head = async () => Number((await anvil.head()).number);
  for (const paid of [...PAID, PAID_LATE].sort((a, b) => a - b)) {
    const between = paid - 1 - (await head());
    if (between > 0) await anvil.mine(between);
    await anvil.transferToken(token, addressOf(`stranger ${paid}`), 7n);
    await anvil.transferToken(token, paid === PAID_LATE ? late : alice, BigInt(paid));
    await anvil.mine(1);
  }
  await anvil.mine(HEAD - (await head()));
}

function register(address: Address, userId: string) {
  return registerAddress(test.database, { address, merchantId: MERCHANT_ID, userId });
}

function chainThrough(proxies: readonly NodeProxy[], given: Partial<ChainConfig> = {}): ChainConfig {
  const policy = [{ upToBaseUnits: null, credit: atDepth(3), unlock: atDepth(5) }];
  return {
    id: CHAIN_ID,
    name: "local",
    nodes: proxies.map(({ url }) => ({ url, wsUrl: null, maxConcurrency: null })),
    startBlock: 0n,
    blockTimeMs: 1_000,
    pollIntervalMs: 50,
    reorgWindow: REORG_WINDOW,
    fetchConcurrency: 4,
    fetchThreads: 0,
    backfill: "logs",
    mempool: false,
    internal: "none",
    nativeSource: "value",
    verification: "none",
    witnesses: 1,
    ownWallets: [],
    assets: [assetOf({ token: token.address, currency: "USDT", decimals: 6, policy })],
    ...given,
  };
}

async function follow(chain: ChainConfig, options: Partial<FollowerOptions> = {}): Promise<TestFollower> {
  const follower = await startFollower(test, { chain, ...options });
  stops.push(follower.stop);
  return follower;
}

const caughtUp = () =>
  waitFor(async () => (await getChainState(test.database, CHAIN_ID)).cursorNumber === BigInt(HEAD), {
    timeoutMs: 60_000,
    what: "the cursor to reach the head",
  });
const deposits = async (): Promise<Deposit[]> =>
  (await listDeposits(test.database, { merchantId: MERCHANT_ID, limit: 100 })).map((each) => each.deposit);
const blocksOf = async (userId: string) =>
  (await deposits())
    .filter((deposit) => deposit.userId === userId)
    .map(({ blockNumber }) => Number(blockNumber))
    .sort((a, b) => a - b);
const count = (proxy: NodeProxy, method: string) => proxy.calls.get(method) ?? 0;

/** Keeps what was logged. */
function recordingLogger(lines: string[]): Logger {
  const note = (sentence: string) => void lines.push(sentence);
  const silent = createLogger("silent");
  const logger: Logger = { ...silent, warn: note, info: note, with: () => logger };
  return logger;
}

describe("catching up by logs", { timeout: 90_000 }, () => {
  it("reads whole blocks only where there was a payment, and near the head", async () => {
    await follow(chainThrough([first]));
    await caughtUp();
    expect(await blocksOf("alice")).toEqual(PAID);
    expect((await deposits()).every(({ status }) => status === "unlocked")).toBe(true);
    expect(count(first, "eth_getLogs")).toBe(1);
    expect(count(first, "eth_getBlockReceipts")).toBe(PAID.length + REORG_WINDOW);
  });

  it("keeps consecutive block refs, as many as a reorg is undone for", async () => {
    await follow(chainThrough([first]));
    await caughtUp();
    const numbers = (await listBlockRefs(test.database, CHAIN_ID)).map(({ number }) => Number(number));
    expect(numbers).toEqual(
      Array.from({ length: REORG_WINDOW }, (_, index) => HEAD - REORG_WINDOW + 1 + index),
    );
  });

  it("proves every block that its logs name, like any other", async () => {
    await follow(chainThrough([first], { verification: "proved" }));
    await caughtUp();
    expect((await deposits()).map(({ verification }) => verification)).toEqual(PAID.map(() => "proved"));
  });

  it.each<[string, lies.Lie]>([
    [
      "Alchemy's",
      lies.rpcError(
        -32602,
        "Log response size exceeded. You can make eth_getLogs requests with up to a 2K block range and no limit on the response size, or you can request any block range with a cap of 10K logs in the response.",
      ),
    ],
    [
      "Infura's",
      lies.rpcError(-32005, "query returned more than 10000 results. Try with this block range [0x1, 0x2]."),
    ],
    ["Infura's for blocks", lies.rpcError(-32602, "range 1000000 exceeds limit of 10000")],
    ["QuickNode's", lies.rpcError(-32614, "eth_getLogs is limited to a 10,000 range")],
    ["dRPC's", lies.rpcError(35, "ranges over 10000 blocks are not supported on freetier")],
    ["reth's", lies.rpcError(-32602, "query exceeds max block range 100000")],
    [
      "reth's for results",
      lies.rpcError(-32602, "query exceeds max results 20000, retry with the range 1-2"),
    ],
    ["geth's", lies.rpcError(-32000, "query timeout exceeded")],
    ["BSC's", lies.rpcError(-32000, "exceed maximum block range: 5000")],
    [
      "Avalanche's",
      lies.rpcError(-32000, "requested too many blocks from 1 to 16777217, maximum is set to 2048"),
    ],
    [
      "Tenderly's",
      lies.rpcErrorWithData(-32602, "invalid params", { payload: "range 9 is bigger than range limit 2" }),
    ],
    ["Cronos'", lies.rpcError(-32000, "maximum [from, to] blocks distance: 2000")],
    ["proxyd's", lies.rpcError(-32020, "backend response too large")],
    ["a gateway's time-out", async () => ({ status: 504, text: "<html>504 Gateway Time-out</html>" })],
    ["nobody's, in words never seen before", lies.rpcError(-32099, "no es posible")],
  ])("C6: splits ranges at a limit in %s words, and skips none", async (_whose, refusal) => {
    first.lie(lies.capRange(60, refusal), { methods: ["eth_getLogs"] });
    await follow(chainThrough([first]));
    await caughtUp();
    expect(await blocksOf("alice")).toEqual(PAID);
    expect(count(first, "eth_getLogs")).toBeGreaterThan(HEAD / 60);
    expect(count(first, "eth_getBlockReceipts")).toBe(PAID.length + REORG_WINDOW);
  });

  it("C6: splits ranges at a limit of results, down to a single block, and skips none", async () => {
    const refusal = lies.rpcError(-32005, "query returned more than 10000 results");
    first.lie(lies.capResults(1, refusal), { methods: ["eth_getLogs"] });
    await follow(chainThrough([first]));
    await caughtUp();
    expect(await blocksOf("alice")).toEqual(PAID);
  });

  it("C6: reads whole blocks where a node gives no logs at all, not of a single block either", async () => {
    const warnings: string[] = [];
    first.lie(lies.rpcError(-32602, "exceed maximum block range: 0"), { methods: ["eth_getLogs"] });
    await follow(chainThrough([first]), { logger: recordingLogger(warnings) });
    await caughtUp();
    expect(await blocksOf("alice")).toEqual(PAID);
    expect(warnings).toContain("Read whole blocks in place of logs");
  });

  it("C6: takes a list that ends at a round number for one that was cut", async () => {
    const hundred = lies.changed((logs) => Array.from({ length: 100 }, () => (logs as unknown[])[0]));
    const cut: lies.Lie = (call) => {
      const [filter] = call.params as [{ fromBlock: string; toBlock: string }];
      return Number(filter.toBlock) - Number(filter.fromBlock) > 40 ? hundred(call) : lies.truth(call);
    };
    first.lie(cut, { methods: ["eth_getLogs"] });
    await follow(chainThrough([first]));
    await caughtUp();
    expect(await blocksOf("alice")).toEqual(PAID);
  });

  it("asks another node where one has pruned the history, and never takes it for no logs", async () => {
    const pruned = lies.rpcError(4444, "pruned history unavailable");
    first.lie(pruned, { methods: ["eth_getLogs"] });
    await follow(chainThrough([first, second]));
    await caughtUp();
    expect(await blocksOf("alice")).toEqual(PAID);
    expect(count(second, "eth_getLogs")).toBeGreaterThan(0);
  });

  it("stays where it is when the only node has pruned the history", async () => {
    first.lie(lies.rpcError(4444, "pruned history unavailable"), { methods: ["eth_getLogs"] });
    const { outcome } = await follow(chainThrough([first]), { isUnsupervised: true });
    expect(await outcome).toMatchObject({ code: "node_error", retryable: true });
    expect((await getChainState(test.database, CHAIN_ID)).cursorNumber).toBe(0n);
  });

  it("does not believe a node that lags behind the range it was asked for", async () => {
    const lagging: lies.Lie = async (call) => {
      const [block] = call.params;
      return Number(block) > 100 && Number(block) < HEAD - 20 ? lies.nothing()(call) : lies.truth(call);
    };
    first.lie(lagging, { methods: ["eth_getBlockByNumber"] });
    await follow(chainThrough([first, second]));
    await caughtUp();
    expect(await blocksOf("alice")).toEqual(PAID);
  });

  it("finds what one of two nodes leaves out, and says so", async () => {
    const warnings: string[] = [];
    const forgetful = lies.changed((logs) => (logs as unknown[]).slice(0, 3));
    first.lie(forgetful, { methods: ["eth_getLogs"] });
    await follow(chainThrough([first, second], { backfill: "auto" }), { logger: recordingLogger(warnings) });
    await caughtUp();
    expect(await blocksOf("alice")).toEqual(PAID);
    expect(warnings).toContain("Two nodes told different logs");
    expect(count(first, "eth_getBlockReceipts") + count(second, "eth_getBlockReceipts")).toBe(
      PAID.length + REORG_WINDOW,
    );
  });

  it.each<[string, () => ChainConfig]>([
    ["with one node", () => chainThrough([first], { backfill: "auto" })],
    ["where the native coin is listed", () => chainThrough([first, second], { assets: [assetOf()] })],
    ["where whole blocks are asked for", () => chainThrough([first, second], { backfill: "blocks" })],
  ])("reads whole blocks %s", async (_where, chain) => {
    await follow(chain());
    await caughtUp();
    expect(count(first, "eth_getLogs") + count(second, "eth_getLogs")).toBe(0);
    expect(count(first, "eth_getBlockReceipts") + count(second, "eth_getBlockReceipts")).toBe(HEAD);
  });

  it("reads whole blocks by itself while only one of two nodes tells its logs", async () => {
    second.lie(lies.badGateway());
    await follow(chainThrough([first, second], { backfill: "auto" }));
    await caughtUp();
    expect(await blocksOf("alice")).toEqual(PAID);
    expect(count(first, "eth_getBlockReceipts")).toBe(HEAD);
  });

  it("D12: finds the deposit of an address that was registered while its range was searched", async () => {
    const registering: lies.Lie = async (call) => {
      const reply = await lies.truth(call);
      await register(late, "late");
      return reply;
    };
    first.lie(registering, { methods: ["eth_getLogs"], times: 1 });
    await follow(chainThrough([first]));
    await caughtUp();
    expect(await blocksOf("late")).toEqual([PAID_LATE]);
    expect(await blocksOf("alice")).toEqual(PAID);
    expect(count(first, "eth_getLogs")).toBe(2);
  });

  it("D12: reads whole blocks when addresses are registered faster than a range is searched", async () => {
    let registered = 0;
    const registering: lies.Lie = async (call) => {
      const reply = await lies.truth(call);
      await register(addressOf(`new ${registered++}`), "new");
      if (registered === 3) await register(late, "late");
      return reply;
    };
    first.lie(registering, { methods: ["eth_getLogs"] });
    await follow(chainThrough([first]));
    await caughtUp();
    expect(await blocksOf("late")).toEqual([PAID_LATE]);
    expect(await blocksOf("alice")).toEqual(PAID);
    expect(count(first, "eth_getBlockReceipts")).toBeGreaterThan(HEAD / 2);
  });

  it("B9: believes no block that its logs name and the branch has not", async () => {
    const elsewhere = lies.changed((logs) =>
      (logs as lies.RpcBody[]).map((log) => ({ ...log, blockHash: `0x${"ab".repeat(32)}` })),
    );
    first.lie(elsewhere, { methods: ["eth_getLogs"], times: 1 });
    const { outcome } = await follow(chainThrough([first]), { isUnsupervised: true });
    expect(await outcome).toMatchObject({ code: "node_answer_invalid" });
    expect(await deposits()).toEqual([]);
    await follow(chainThrough([first]));
    await caughtUp();
    expect(await blocksOf("alice")).toEqual(PAID);
  });
});

describe("a rescan by logs", () => {
  it("D13: finds what was paid to one address before it was registered, from few blocks", async () => {
    const chain = chainThrough([first]);
    await follow(chain);
    await caughtUp();
    await register(late, "late");
    first.resetCalls();
    const nodes = testNodes([first.url], { verification: "none" });
    stops.push(() => nodes.close());
    const seen: number[] = [];
    const parts = {
      context: await contextOf(test, chain),
      chain,
      nodes: nodes.backfill,
      onProgress: (done: number) => void seen.push(done),
    };
    const result = await rescan(parts, {
      from: 0n,
      to: 10_000n,
      only: new Map([[late, { from: 0n, to: 10_000n }]]),
    });
    expect(result).toMatchObject({ blockCount: HEAD + 1, deposits: [{ userId: "late" }] });
    expect(await blocksOf("late")).toEqual([PAID_LATE]);
    expect(count(first, "eth_getBlockReceipts")).toBe(1 + (HEAD - Number(LAST_LOGGED)));
    expect(seen.at(-1)).toBe(HEAD + 1);
  });
});
