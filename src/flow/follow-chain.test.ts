/** The follower on a real node with real competing branches, and a real database. */
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { shellActor } from "../core/actor.ts";
import type { Deposit } from "../core/deposit.ts";
import { listDeposits } from "../deposits/deposit-list-store.ts";
import { listUserBalances } from "../ledger/ledger-store.ts";
import { registerAddress } from "../merchants/address-store.ts";
import { listDepositHistory } from "../outbox/event-store.ts";
import { createChainNodes } from "../rpc/chain-nodes.ts";
import { systemClock } from "../runtime/clock.ts";
import type { ChainConfig } from "../runtime/config/config.ts";
import { type Logger, silentLogger } from "../runtime/logger.ts";
import { systemRandom } from "../runtime/random.ts";
import { getChainState } from "../scanner/chain-store.ts";
import { type Anvil, startAnvil } from "../testing/anvil.ts";
import { createTestDatabase, type TestDatabase } from "../testing/database.ts";
import { addressOf, assetOf, atDepth, CHAIN_ID, MERCHANT_ID } from "../testing/factory.ts";
import { followSupervised } from "../testing/follower.ts";
import { waitFor } from "../testing/wait-for.ts";
import { followChain } from "./follow-chain.ts";
import type { FollowerParts } from "./follower-parts.ts";
import type { IngestContext } from "./ingest-block.ts";
import { ingestContextOf } from "./ingest-context.ts";
import { registerChains } from "./register-chains.ts";
import { type RescanRange, rescan } from "./rescan.ts";
import { resumeChain } from "./resume-chain.ts";
import { settleDeposits } from "./settle-deposits.ts";
import { loadAddressWatch } from "./watch-addresses.ts";

const alice = addressOf("alice");
const ETHER = 10n ** 18n;

let test: TestDatabase;
let anvil: Anvil;
let chain: ChainConfig;
let stops: (() => Promise<void>)[];

beforeEach(async () => {
  stops = [];
  anvil = await startAnvil({ mining: "manual", slotsInAnEpoch: 2 });
  test = await createTestDatabase();
  const deepEnough = [
    { upToBaseUnits: null, credit: atDepth(3), unlock: { depth: null, tag: "finalized" as const } },
  ];
  chain = {
    id: CHAIN_ID,
    name: "local",
    nodes: [{ url: anvil.url, wsUrl: anvil.wsUrl, maxConcurrency: null }],
    startBlock: 0n,
    blockTimeMs: 1_000,
    pollIntervalMs: 50,
    reorgWindow: 8,
    fetchConcurrency: 4,
    fetchThreads: 0,
    backfill: "auto",
    mempool: false,
    internal: "none",
    nativeSource: "value",
    verification: "auto",
    witnesses: 1,
    ownWallets: [],
    assets: [assetOf({ policy: deepEnough })],
  };
  await test.database.query("INSERT INTO merchants (id, name) VALUES ($1, 'Test')", [MERCHANT_ID]);
  await registerAddress(test.database, { address: alice, merchantId: MERCHANT_ID, userId: "alice" });
});

afterEach(async () => {
  for (const stop of stops.reverse()) await stop();
  await test.drop();
  await anvil.stop();
});

/** Follows as a daemon does; due deposits are settled at once instead of by a job. */
async function follow(
  holder = "test",
  run = followSupervised,
): Promise<{ stop(): Promise<void>; outcome: Promise<unknown> }> {
  const { database } = test;
  const nodes = createChainNodes({ chain, clock: systemClock, logger: silentLogger });
  const parts: FollowerParts = {
    database,
    chain,
    nodes,
    clock: systemClock,
    logger: silentLogger,
    holder,
    leaseMs: 1_500,
    metrics: {
      onIngested: () => undefined,
      onReorg: () => undefined,
      onShortfall: () => undefined,
      onFinalityLost: () => undefined,
    },
    ingest: await ingestContext(),
    wakers: {
      settleAt: async () => undefined,
      settleNow: async () => void (await settleDeposits(database, chain.id)),
      deliver: async () => undefined,
      deliverAt: async () => undefined,
    },
  };
  const stopping = new AbortController();
  const outcome = run(parts, stopping.signal).catch((error: unknown) => error);
  const stop = async () => {
    stopping.abort();
    await outcome;
    await nodes.close();
  };
  stops.push(stop);
  return { stop, outcome };
}

async function ingestContext(): Promise<IngestContext> {
  const { database } = test;
  const { assets } = await registerChains(database, [chain], silentLogger);
  const known = assets.get(chain.id) ?? [];
  const watch = await loadAddressWatch(database, systemRandom);
  return ingestContextOf(database, chain, () => known, watch);
}

const state = () => getChainState(test.database, CHAIN_ID);
const cursorAt = (number: bigint, hash?: string) =>
  waitFor(async () => {
    const { cursorNumber, cursorHash } = await state();
    return cursorNumber === number && (hash === undefined || cursorHash === hash);
  });
const deposits = async (): Promise<Deposit[]> =>
  (await listDeposits(test.database, { merchantId: MERCHANT_ID, limit: 100 })).map(({ deposit }) => deposit);
const onlyDeposit = async (): Promise<Deposit> => {
  const all = await deposits();
  expect(all).toHaveLength(1);
  return all[0] as Deposit;
};
const statusIs = (status: string) =>
  waitFor(async () => (await deposits()).every((each) => each.status === status));
const moves = async (id: string) =>
  (await listDepositHistory(test.database, id)).map(({ type }) => type.slice(8));
const locked = async () =>
  (await listUserBalances(test.database, MERCHANT_ID, "alice"))[0]?.lockedBaseUnits ?? 0n;

describe("following a chain", () => {
  it("catches up from the start block, then follows the head", async () => {
    await anvil.sendEth(alice, ETHER);
    await anvil.mine(30);
    await follow();
    await cursorAt(30n);
    const head = await anvil.mine(1);
    await cursorAt(31n, head.hash);
  });

  it("goes on where it was after a stop, and misses nothing mined meanwhile", async () => {
    const first = await follow();
    await anvil.mine(2);
    await cursorAt(2n);
    await first.stop();
    await anvil.sendEth(alice, ETHER);
    await anvil.mine(5);
    await follow();
    await cursorAt(7n);
    expect((await onlyDeposit()).blockNumber).toBe(3n);
  });

  it("B11: credits at exactly N confirmations and unlocks when the block is finalized", async () => {
    await follow();
    await anvil.sendEth(alice, ETHER);
    await anvil.mine(2);
    await cursorAt(2n);
    expect((await onlyDeposit()).status).toBe("pending");
    await anvil.mine(1);
    await cursorAt(3n);
    await statusIs("credited");
    await anvil.mine(10);
    await statusIs("unlocked");
  });
});

describe("reorgs", () => {
  it("B1 and B2: orphans a deposit with its block, and finds it again elsewhere on the new branch", async () => {
    await follow();
    const payment = await anvil.sign({ to: alice, valueWei: ETHER });
    const other = await anvil.sign({ to: addressOf("bob"), valueWei: 1n, from: anvil.account(1) });
    const point = await anvil.forkPoint();
    const [, second] = await anvil.mineBranch(point, [{ transactions: [payment] }, {}]);
    await cursorAt(2n, second?.hash);
    const before = await onlyDeposit();

    const branch = await anvil.mineBranch(point, [{}, { transactions: [other, payment] }, {}]);
    await cursorAt(3n, branch.at(-1)?.hash);
    const after = await onlyDeposit();
    expect(after).toMatchObject({
      id: before.id,
      status: "pending",
      blockNumber: 2n,
      blockHash: branch[1]?.hash,
    });
    expect(await moves(after.id)).toEqual(["pending", "orphaned", "pending"]);
  });

  it("B3: keeps one deposit when the same number has another hash", async () => {
    await follow();
    const payment = await anvil.sign({ to: alice, valueWei: ETHER });
    const point = await anvil.forkPoint();
    const [first] = await anvil.mineBranch(point, [{ transactions: [payment] }]);
    await cursorAt(1n, first?.hash);
    const [other] = await anvil.mineBranch(point, [{ transactions: [payment] }]);
    await cursorAt(1n, other?.hash);
    expect(await onlyDeposit()).toMatchObject({ blockNumber: 1n, blockHash: other?.hash, status: "pending" });
  });

  it("B4: reverses what was credited when the reorg is deeper than the credit depth", async () => {
    await follow();
    const payment = await anvil.sign({ to: alice, valueWei: ETHER });
    const point = await anvil.forkPoint();
    await anvil.mineBranch(point, [{ transactions: [payment] }, {}, {}, {}]);
    await waitFor(async () => (await deposits())[0]?.status === "credited");
    expect(await locked()).toBe(ETHER);
    const branch = await anvil.mineBranch(point, [{}, {}, {}, {}, {}]);
    await cursorAt(5n, branch.at(-1)?.hash);
    const gone = await onlyDeposit();
    expect(await moves(gone.id)).toEqual(["pending", "credited", "reversed"]);
    expect(await locked()).toBe(0n);
  });

  it("B5: never credits a payment whose nonce pays somebody else on the new branch", async () => {
    await follow();
    const payment = await anvil.sign({ to: alice, valueWei: ETHER });
    const replaced = await anvil.sign({ to: addressOf("bob"), valueWei: ETHER });
    const point = await anvil.forkPoint();
    const [first] = await anvil.mineBranch(point, [{ transactions: [payment] }]);
    await cursorAt(1n, first?.hash);
    const branch = await anvil.mineBranch(point, [{ transactions: [replaced] }, {}, {}, {}, {}]);
    await cursorAt(5n, branch.at(-1)?.hash);
    expect((await onlyDeposit()).status).toBe("orphaned");
  });

  it("B7: treats a chain that got shorter and grew differently as a reorg", async () => {
    await follow();
    const payment = await anvil.sign({ to: alice, valueWei: ETHER });
    const point = await anvil.forkPoint();
    await anvil.mineBranch(point, [{}, { transactions: [payment] }, {}]);
    await cursorAt(3n);
    const [only] = await anvil.mineBranch(point, [{}]);
    await cursorAt(1n, only?.hash);
    expect((await onlyDeposit()).status).toBe("orphaned");
  });

  it("B8: halts the chain with its reason when the reorg reaches below the kept window", async () => {
    await follow();
    await anvil.mine(2);
    const point = await anvil.forkPoint();
    const branch = (length: number) =>
      anvil.mineBranch(
        point,
        Array.from({ length }, () => ({})),
      );
    await branch(12);
    await cursorAt(14n);
    await branch(13);
    await waitFor(async () => (await state()).state === "halted");
    expect((await state()).stateReason).toMatch(/oldest that is kept/);
    expect((await state()).cursorNumber).toBe(14n);
  });

  it("B8: goes on where an operator says, once the branches are the same below", async () => {
    await follow();
    await anvil.mine(2);
    const payment = await anvil.sign({ to: alice, valueWei: ETHER });
    const point = await anvil.forkPoint();
    const empty = (length: number) => Array.from({ length }, () => ({}));
    await anvil.mineBranch(point, [{ transactions: [payment] }, ...empty(11)]);
    await waitFor(async () => (await deposits())[0]?.status === "unlocked");
    await cursorAt(14n);
    const branch = await anvil.mineBranch(point, [{}, { transactions: [payment] }, ...empty(12)]);
    await waitFor(async () => (await state()).state === "halted");

    const nodes = createChainNodes({ chain, clock: systemClock, logger: silentLogger });
    stops.push(() => nodes.close());
    const parts = { database: test.database, nodes, actor: shellActor("root") };
    await expect(resumeChain(parts, 10n)).rejects.toMatchObject({ facts: { resumeFrom: 3n } });
    const undone = await resumeChain(parts, 3n);
    expect(undone.reversed).toHaveLength(1);
    await expect(resumeChain(parts, 3n)).rejects.toThrow(/not halted/);

    await follow("after the resume");
    await cursorAt(16n, branch.at(-1)?.hash);
    await statusIs("unlocked");
    expect(await onlyDeposit()).toMatchObject({ blockNumber: 4n, blockHash: branch[1]?.hash });
  });

  it("B8: undoes a reorg of the very block before the start block, soon after the first start", async () => {
    await anvil.mine(10);
    const point = await anvil.forkPoint();
    const payment = await anvil.sign({ to: alice, valueWei: ETHER });
    await anvil.mineBranch(point, [{}, {}, { transactions: [payment] }]);
    chain = { ...chain, startBlock: "latest" };
    await follow();
    await cursorAt(13n);
    const branch = await anvil.mineBranch(point, [{}, {}, { transactions: [payment] }, {}]);
    await cursorAt(14n, branch.at(-1)?.hash);
    expect(await onlyDeposit()).toMatchObject({ blockHash: branch[2]?.hash, status: "pending" });
    expect((await state()).state).toBe("following");
  });

  it("B8: halts when the chain starts anew below the kept window, and does not wait for it as for a lagging node", async () => {
    await anvil.mine(20);
    const point = await anvil.forkPoint();
    await follow();
    await cursorAt(20n);
    await anvil.stop();
    const port = Number(new URL(anvil.url).port);
    anvil = await startAnvil({ mining: "manual", slotsInAnEpoch: 2, port });
    await anvil.mineBlock({ timestamp: point.block.timestamp + 1 });
    await waitFor(async () => (await state()).state === "halted");
    expect((await state()).cursorNumber).toBe(20n);
  });

  it("B12: ends as the chain ends when branches flip back and forth five times", async () => {
    await follow();
    const payment = await anvil.sign({ to: alice, valueWei: ETHER });
    const point = await anvil.forkPoint();
    for (let flip = 0; flip < 5; flip++) {
      const transactions = flip % 2 === 0 ? [payment] : [];
      const branch = await anvil.mineBranch(point, [{ transactions }, {}]);
      await cursorAt(2n, branch.at(-1)?.hash);
    }
    const deposit = await onlyDeposit();
    expect(deposit.status).toBe("pending");
    expect(await moves(deposit.id)).toEqual(["pending", "orphaned", "pending", "orphaned", "pending"]);
  });
});

describe("a rescan", () => {
  it("D13: finds the deposit of an address that was registered after it, once", async () => {
    const late = addressOf("late");
    await follow();
    await anvil.sendEth(late, ETHER);
    await anvil.sendEth(alice, ETHER);
    await anvil.mine(6);
    await cursorAt(6n);
    await registerAddress(test.database, { address: late, merchantId: MERCHANT_ID, userId: "late" });
    const again = () => rescanAll({ from: 0n, to: 1_000n });
    expect((await again()).deposits.map((deposit) => deposit.userId)).toEqual(["late"]);
    expect(await again()).toMatchObject({ blockCount: 7, deposits: [] });
    await settleDeposits(test.database, CHAIN_ID);
    await statusIs("unlocked");
    expect(await deposits()).toHaveLength(2);
  });

  it("looks for one address alone when it is asked to", async () => {
    await anvil.mine(1);
    await follow();
    await cursorAt(1n);
    expect(
      await rescanAll({ from: 0n, to: 1n, only: new Map([[alice, { from: 0n, to: 1n }]]) }),
    ).toMatchObject({
      blockCount: 2,
      deposits: [],
    });
    await expect(rescanAll({ from: 5n, to: 9n })).rejects.toMatchObject({ code: "invalid_request" });
  });
});

async function rescanAll(range: RescanRange) {
  const nodes = createChainNodes({ chain, clock: systemClock, logger: silentLogger });
  stops.push(() => nodes.close());
  return rescan({ context: await ingestContext(), chain, nodes: nodes.backfill }, range);
}

describe("two followers of one chain", () => {
  it("H1: lets one follow, and the other take over when it stops", async () => {
    const first = await follow("first");
    await cursorAt(0n);
    await waitFor(async () => (await state()).leaseHolder === "first");
    await follow("second");
    await anvil.sendEth(alice, ETHER);
    await anvil.mine(1);
    await cursorAt(1n);
    expect((await state()).leaseHolder).toBe("first");
    await first.stop();
    await waitFor(async () => (await state()).leaseHolder === "second");
    await anvil.mine(3);
    await cursorAt(4n);
    await statusIs("credited");
  });

  it("H7: stops a follower whose lease has passed to another, before it writes anything, and lets it wait for its turn", async () => {
    const lost: bigint[] = [];
    const logger: Logger = {
      ...silentLogger,
      warn: (message, fields) => {
        if (message === "Lost the lease") lost.push(BigInt(String(fields?.["lease_token"])));
      },
    };
    await follow("frozen", (parts, signal) => followChain({ ...parts, logger }, signal));
    // Again and again: it never counts as a failure, after which one would wait longer and longer.
    for (const turn of [1, 2, 3]) {
      await anvil.mine(1);
      const cursorNumber = BigInt(turn * 2 - 1);
      await cursorAt(cursorNumber);
      await test.database.query(
        "UPDATE chains SET lease_holder = 'other', lease_token = lease_token + 1, lease_until = now() + interval '1 hour'",
      );
      await anvil.mine(1);
      await waitFor(() => lost.length === turn, { what: "the follower to see that it lost the lease" });
      expect(await state()).toMatchObject({ cursorNumber, leaseHolder: "other" });
      await test.database.query("UPDATE chains SET lease_until = now()");
    }
    await cursorAt(6n);
  });
});
