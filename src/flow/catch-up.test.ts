/** Catching up on real nodes: reorgs on the way, and two chains of which one is far behind. */
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { BlockHeader } from "../core/chain.ts";
import type { Deposit } from "../core/deposit.ts";
import { isRetryable } from "../core/errors.ts";
import { UNVERIFIED } from "../core/verification.ts";
import { listDeposits } from "../deposits/deposit-list-store.ts";
import { registerAddress } from "../merchants/address-store.ts";
import type { FetchedBlock } from "../rpc/fetched-block.ts";
import type { ChainConfig } from "../runtime/config/config.ts";
import { getChainState } from "../scanner/chain-store.ts";
import { type Anvil, startAnvil } from "../testing/anvil.ts";
import { createTestDatabase, type TestDatabase } from "../testing/database.ts";
import { addressOf, assetOf, atDepth, CHAIN_ID, hashOf, MERCHANT_ID } from "../testing/factory.ts";
import { type FollowerOptions, startFollower, type TestFollower } from "../testing/follower.ts";
import * as lies from "../testing/lies.ts";
import { type NodeProxy, startNodeProxy } from "../testing/node-proxy.ts";
import { testNodes } from "../testing/nodes.ts";
import { waitFor } from "../testing/wait-for.ts";
import { settleDeposits } from "./settle-deposits.ts";

const alice = addressOf("alice");
const ETHER = 10n ** 18n;
const PATIENCE = { timeoutMs: 60_000 };

let anvil: Anvil;
let proxy: NodeProxy;
let test: TestDatabase;
let stops: (() => Promise<void>)[];

beforeEach(async () => {
  stops = [];
  anvil = await startAnvil({ mining: "manual" });
  proxy = await startNodeProxy(anvil.url);
  test = await createTestDatabase();
  await test.database.query("INSERT INTO merchants (id, name) VALUES ($1, 'Test')", [MERCHANT_ID]);
  await registerAddress(test.database, { address: alice, merchantId: MERCHANT_ID, userId: "alice" });
});
afterEach(async () => {
  for (const stop of stops.reverse()) await stop();
  await test.drop();
  await proxy.stop();
  await anvil.stop();
});

function chainAt(url: string, given: Partial<ChainConfig> = {}): ChainConfig {
  const id = given.id ?? CHAIN_ID;
  const policy = [{ upToBaseUnits: null, credit: atDepth(3), unlock: atDepth(7) }];
  return {
    id,
    name: `chain ${id}`,
    nodes: [{ url, wsUrl: null, maxConcurrency: null }],
    startBlock: 0n,
    blockTimeMs: 1_000,
    pollIntervalMs: 20,
    reorgWindow: 64,
    fetchConcurrency: 4,
    fetchThreads: 0,
    backfill: "auto",
    internal: "none",
    nativeSource: "value",
    verification: "none",
    witnesses: 1,
    mempool: false,
    ownWallets: [],
    assets: [assetOf({ chainId: id, policy })],
    ...given,
  };
}

async function follow(chain: ChainConfig, options: Partial<FollowerOptions> = {}): Promise<TestFollower> {
  const follower = await startFollower(test, { chain, ...options });
  stops.push(follower.stop);
  return follower;
}

const stateOf = (chainId = CHAIN_ID) => getChainState(test.database, chainId);
const cursorAt = (header: BlockHeader | undefined) =>
  waitFor(async () => (await stateOf()).cursorHash === header?.hash, PATIENCE);
const deposits = async () =>
  (await listDeposits(test.database, { merchantId: MERCHANT_ID, limit: 100 })).map((each) => each.deposit);
const isCredited = ({ status }: Deposit) => status === "credited" || status === "unlocked";
const liveEntries = () =>
  test.database.query(
    `SELECT FROM ledger_entries c WHERE c.kind = 'credit'
       AND NOT EXISTS (SELECT FROM ledger_entries r WHERE r.reverses = c.id)`,
  );
const empty = (count: number) => Array.from({ length: count }, () => ({}));

describe("a reorg", { timeout: 90_000 }, () => {
  it("B9: during the backfill: the deposit is there once, as the branch that won has it", async () => {
    const payment = await anvil.sign({ to: alice, valueWei: ETHER });
    const point = await anvil.forkPoint();
    await anvil.mineBranch(point, [{ transactions: [payment] }, ...empty(29)]);
    let hasChanged = false;
    let winner: BlockHeader[] = [];
    // The branches change under the follower's hands: between two of the blocks that it is fetching.
    const changing: lies.Lie = async (call) => {
      hasChanged = true;
      winner = await anvil.mineBranch(point, [...empty(4), { transactions: [payment] }, ...empty(30)]);
      return lies.truth(call);
    };
    const isFull =
      (full: boolean): lies.Lie =>
      (call) =>
        call.params[1] === full && Number(call.params[0]) > 12 && !hasChanged
          ? changing(call)
          : lies.truth(call);
    proxy.lie(isFull(true), { methods: ["eth_getBlockByNumber"] });
    // It may end at blocks of two branches, and is started again.
    await follow(chainAt(proxy.url, { fetchConcurrency: 1 }));
    await waitFor(() => winner.length > 0, PATIENCE);
    await cursorAt(winner.at(-1));
    await waitFor(async () => (await deposits())[0]?.status === "unlocked", PATIENCE);
    expect(await deposits()).toMatchObject([{ blockNumber: 5n, blockHash: winner[4]?.hash }]);
    expect(await liveEntries()).toHaveLength(1);
  });

  it("B9: while deposits are settled: each is credited once, as the branch that won has them", async () => {
    const users = Array.from({ length: 12 }, (_, index) => `user ${index}`);
    for (const user of users)
      await registerAddress(test.database, {
        address: addressOf(user),
        merchantId: MERCHANT_ID,
        userId: user,
      });
    const payments = await anvil.signAll(users.map((user) => ({ to: addressOf(user), valueWei: ETHER })));
    const point = await anvil.forkPoint();
    let isOver = false;
    const settling = (async () => {
      while (!isOver) {
        // A branch may leave between the look at what is due and its move; the next look finds what is due then.
        await settleDeposits(test.database, CHAIN_ID).catch((rawError: unknown) => {
          if (!isRetryable(rawError)) throw rawError;
        });
      }
    })();
    stops.push(async () => {
      isOver = true;
      await settling;
    });
    await follow(chainAt(proxy.url), { settleNow: async () => undefined });
    let branch: BlockHeader[] = [];
    for (let flip = 0; flip < 4; flip++) {
      const transactions = flip % 2 === 0 ? payments : payments.slice(0, 6);
      branch = await anvil.mineBranch(point, [{}, { transactions }, ...empty(3 + flip)]);
      await waitFor(async () => (await deposits()).some(isCredited), PATIENCE);
    }
    await cursorAt(branch.at(-1));
    await waitFor(
      async () => (await deposits()).filter(({ status }) => status === "unlocked").length === 6,
      PATIENCE,
    );
    expect(await liveEntries()).toHaveLength(6);
  });

  it("B9: across a restart: the deposit is there once, as the branch that won has it", async () => {
    const payment = await anvil.sign({ to: alice, valueWei: ETHER });
    const point = await anvil.forkPoint();
    const before = await anvil.mineBranch(point, [{ transactions: [payment] }, ...empty(4)]);
    const first = await follow(chainAt(proxy.url));
    await cursorAt(before.at(-1));
    await waitFor(async () => (await deposits())[0]?.status === "credited", PATIENCE);
    await first.stop();
    const winner = await anvil.mineBranch(point, [...empty(3), { transactions: [payment] }, ...empty(20)]);
    await follow(chainAt(proxy.url));
    await cursorAt(winner.at(-1));
    await waitFor(async () => (await deposits())[0]?.status === "unlocked", PATIENCE);
    expect(await deposits()).toMatchObject([{ blockNumber: 4n, blockHash: winner[3]?.hash }]);
    expect(await liveEntries()).toHaveLength(1);
  });
});

const FAR_ID = 99_999;
const FAR_HEAD = 1_000_000n;

function farHeader(number: bigint): BlockHeader {
  const timestamp = 1_700_000_000 + Number(number);
  return { number, hash: hashOf(`far ${number}`), parentHash: hashOf(`far ${number - 1n}`), timestamp };
}

/** A node a million blocks ahead, whose blocks are there as fast as they can be taken. */
function farNodes() {
  const nodes = testNodes([proxy.url], { chainId: FAR_ID });
  const block = async (number: bigint): Promise<FetchedBlock> => ({
    header: farHeader(number),
    verification: UNVERIFIED,
    transactions: [],
    receipts: [],
    withdrawals: [],
    traces: null,
  });
  const headerByNumber = async (number: bigint) => farHeader(number);
  const head = async () => farHeader(FAR_HEAD);
  return {
    ...nodes,
    head,
    tag: head,
    headerByNumber,
    backfill: { ...nodes.backfill, head, headerByNumber, blockByNumber: block },
  };
}

describe("a chain far behind", { timeout: 90_000 }, () => {
  it("H8: a million blocks behind does not starve another chain at its head", async () => {
    let farBatches = 0;
    await follow(chainAt("http://127.0.0.1:1", { id: FAR_ID }), {
      nodes: farNodes(),
      onIngested: () => void farBatches++,
    });
    await follow(chainAt(proxy.url));
    await cursorAt(await anvil.head());
    const waits: number[] = [];
    for (let block = 0; block < 10; block++) {
      await anvil.sendEth(alice, ETHER);
      const from = farBatches;
      const head = await anvil.mine(1);
      await cursorAt(head);
      waits.push(farBatches - from);
    }
    expect((await stateOf(FAR_ID)).cursorNumber).toBeLessThan(FAR_HEAD);
    expect(farBatches).toBeGreaterThan(10);
    // One look at the head is some ten turns of the database; so is a batch. A chain that starved would wait for all.
    expect(waits.sort((a, b) => a - b)[5]).toBeLessThan(40);
    expect(await deposits()).toHaveLength(10);
  });

  it("H8: tells how far it is, and lets the other know its head meanwhile", async () => {
    const seen: number[] = [];
    await follow(chainAt("http://127.0.0.1:1", { id: FAR_ID }), {
      nodes: farNodes(),
      onCatchUp: ({ done, total }) => {
        expect(total).toBe(Number(FAR_HEAD));
        seen.push(done);
      },
    });
    await waitFor(() => seen.length > 5, PATIENCE);
    const state = await stateOf(FAR_ID);
    expect(state).toMatchObject({ headNumber: FAR_HEAD, behindFrom: 0n, behindSince: expect.any(Date) });
    expect(seen).toEqual([...seen].sort((a, b) => a - b));
  });
});
