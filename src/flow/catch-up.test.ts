/** Reorgs while the follower catches up, settles and starts again, on real nodes. `far-behind.test.ts` has two chains. */
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { BlockHeader } from "../core/chain.ts";
import type { Deposit } from "../core/deposit.ts";
import { isRetryable } from "../core/errors.ts";
import { listDeposits } from "../deposits/deposit-list-store.ts";
import { registerAddress } from "../merchants/address-store.ts";
import type { ChainConfig } from "../runtime/config/config.ts";
import { getChainState } from "../scanner/chain-store.ts";
import { type Anvil, startAnvil } from "../testing/anvil.ts";
import { createTestDatabase, type TestDatabase } from "../testing/database.ts";
import { addressOf, assetOf, atDepth, CHAIN_ID, MERCHANT_ID } from "../testing/factory.ts";
import { type FollowerOptions, startFollower, type TestFollower } from "../testing/follower.ts";
import * as lies from "../testing/lies.ts";
import { type NodeProxy, startNodeProxy } from "../testing/node-proxy.ts";
import { testChain } from "../testing/test-chain.ts";
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

const policy = [{ upToBaseUnits: null, credit: atDepth(3), unlock: atDepth(7) }];

async function follow(
  more: Partial<ChainConfig> = {},
  options: Partial<FollowerOptions> = {},
): Promise<TestFollower> {
  const chain = testChain([proxy.url], { verification: "none", assets: [assetOf({ policy })], ...more });
  const follower = await startFollower(test, { chain, ...options });
  stops.push(follower.stop);
  return follower;
}

const cursorAt = (header: BlockHeader | undefined) =>
  waitFor(async () => (await getChainState(test.database, CHAIN_ID)).cursorHash === header?.hash, PATIENCE);
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
    await follow({ fetchConcurrency: 1 });
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
    await follow({}, { settleNow: async () => undefined });
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
    const first = await follow();
    await cursorAt(before.at(-1));
    await waitFor(async () => (await deposits())[0]?.status === "credited", PATIENCE);
    await first.stop();
    const winner = await anvil.mineBranch(point, [...empty(3), { transactions: [payment] }, ...empty(20)]);
    await follow();
    await cursorAt(winner.at(-1));
    await waitFor(async () => (await deposits())[0]?.status === "unlocked", PATIENCE);
    expect(await deposits()).toMatchObject([{ blockNumber: 4n, blockHash: winner[3]?.hash }]);
    expect(await liveEntries()).toHaveLength(1);
  });
});
