/** Measuring, step by step: on a real database, with nodes that say what the test wants. */
import { pad } from "viem";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { Asset, KnownAsset } from "../core/asset.ts";
import type { Deposit } from "../core/deposit.ts";
import { TemporaryError } from "../core/errors.ts";
import type { Hash } from "../core/hex.ts";
import { UNVERIFIED } from "../core/verification.ts";
import { listDeposits } from "../deposits/deposit-list-store.ts";
import { applyAmountSource, countAmountSourceChanges } from "../deposits/measure-store.ts";
import { listDepositHistory } from "../outbox/event-store.ts";
import type { BalanceQuestion } from "../rpc/balance.ts";
import type { WitnessedBalance } from "../rpc/balance-witnesses.ts";
import type { FetchedBlock } from "../rpc/fetched-block.ts";
import { silentLogger } from "../runtime/logger.ts";
import { createWakeup } from "../runtime/wakeup.ts";
import type { TestDatabase } from "../testing/database.ts";
import {
  addressOf,
  assetOf,
  atDepth,
  blockOf,
  blockWith,
  CHAIN_ID,
  MERCHANT_ID,
  transferOf,
  USDT,
} from "../testing/factory.ts";
import { createFakeClock } from "../testing/fake-clock.ts";
import { claimAt, createHandmadeChain } from "../testing/handmade-chain.ts";
import { waitFor } from "../testing/wait-for.ts";
import { applyPolicy } from "./apply-policy.ts";
import { type IngestContext, ingestBlocks } from "./ingest-block.ts";
import { type MeasuringParts, measureDeposits, measureDue } from "./measure-deposits.ts";
import { settleDeposits } from "./settle-deposits.ts";

const alice = addressOf("alice");
const TRANSFER_TOPIC = "0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef";
const payment = transferOf({ tx: "1", to: alice, token: USDT, source: "log:0", amountBaseUnits: 1_000n });
/** Up to 900: at depth 2. More: at depth 6. */
const policy = [
  { upToBaseUnits: 900n, credit: atDepth(2), unlock: atDepth(4) },
  { upToBaseUnits: null, credit: atDepth(6), unlock: atDepth(8) },
];
const never = new AbortController().signal;

let test: TestDatabase;
let asset: KnownAsset;
let context: IngestContext;
let woken: string[];
/** What the nodes say: a balance by the hash of its block, or why not. */
let balances: Map<Hash, bigint | string>;
let isBlockGone: boolean;

beforeEach(async () => {
  const listed: Asset = assetOf({
    token: USDT,
    currency: "FEE",
    decimals: 6,
    minimumBaseUnits: 100n,
    amountFrom: "balance",
    policy,
  });
  const chain = await createHandmadeChain({ assets: [listed], users: ["alice"] });
  ({ test, context } = chain);
  asset = chain.assets[0] as KnownAsset;
  woken = [];
  balances = new Map<Hash, bigint | string>([
    [blockOf(0).hash, 5n],
    [blockOf(1).hash, 905n],
  ]);
  isBlockGone = false;
  await ingestBlocks(context, claimAt(blockOf(0)), [
    blockWith(blockOf(1), [payment]),
    ...[2, 3].map((number) => blockWith(blockOf(number))),
  ]);
});
afterEach(() => test.drop());

function parts(): MeasuringParts {
  const settleNow = async () => {
    woken.push("settle now");
  };
  const settleAt = async (_chainId: number, blocks: readonly bigint[]) => {
    woken.push(`settle at ${blocks.join()}`);
  };
  const deliver = async () => {
    woken.push("deliver");
  };
  return {
    database: test.database,
    chain: { id: CHAIN_ID, witnesses: 1, blockTimeMs: 1_000, pollIntervalMs: 50 },
    ingest: context,
    wakers: { settleNow, settleAt, deliver },
    logger: silentLogger,
    nodes: { balance, backfill: { blockByHash } },
  };
}

async function balance({ block, holder, token }: BalanceQuestion): Promise<WitnessedBalance> {
  expect([holder, token]).toEqual([alice, USDT]);
  const said = balances.get(block.hash) ?? "unknown block";
  if (typeof said === "string") return { kind: "untold", reason: said };
  return { kind: "told", amountBaseUnits: said, nodes: 1 };
}

async function blockByHash(hash: Hash): Promise<FetchedBlock> {
  expect(hash).toBe(blockOf(1).hash);
  if (isBlockGone) throw new TemporaryError("node_error", "The node does not know the block", { hash });
  const { txHash, from, to, amountBaseUnits } = payment;
  const topics = [TRANSFER_TOPIC, pad(from), pad(to)] as const;
  const data = pad(`0x${amountBaseUnits.toString(16)}`);
  return {
    header: blockOf(1),
    verification: UNVERIFIED,
    transactions: [{ hash: txHash as Hash, from, to: USDT, value: "0x0" }],
    receipts: [
      {
        transactionHash: txHash as Hash,
        status: "0x1",
        logs: [{ address: USDT, topics: [...topics], data }],
      },
    ],
    withdrawals: [],
    traces: null,
  };
}

async function theDeposit(): Promise<Deposit> {
  const [listed] = await listDeposits(test.database, { merchantId: MERCHANT_ID, limit: 10 });
  if (listed === undefined) throw new Error("There is no deposit");
  return listed.deposit;
}
const told = async () =>
  (await listDepositHistory(test.database, (await theDeposit()).id)).map(({ type }) => type.slice(8));
const settle = () => settleDeposits(test.database, CHAIN_ID);
/** As if the time had passed. */
const makeDue = () =>
  test.database.query("UPDATE deposits SET measure_at = now() WHERE measure_at IS NOT NULL");

describe("a deposit whose balance counts", () => {
  it("E1: is due to no settler before it is measured, whatever its depth and the policy", async () => {
    await ingestBlocks(
      context,
      claimAt(blockOf(3)),
      [4, 5, 6, 7, 8, 9].map((number) => blockWith(blockOf(number))),
    );
    await settle();
    expect((await theDeposit()).status).toBe("pending");
    await applyPolicy(test.database, CHAIN_ID, [
      { ...asset, policy: [{ upToBaseUnits: null, credit: atDepth(1), unlock: atDepth(1) }] },
    ]);
    await settle();
    expect(await theDeposit()).toMatchObject({ status: "pending", amountBaseUnits: 1_000n, creditAt: "1" });
    const credit = "UPDATE deposits SET status = 'credited', credited_at = now()";
    await expect(test.database.query(credit)).rejects.toThrow(/deposits_measured/);
  });

  it("E1: has the band of what arrived, is told anew and wakes who settles and delivers", async () => {
    await measureDue(parts(), never);
    expect(await theDeposit()).toMatchObject({
      status: "pending",
      amountBaseUnits: 900n,
      eventAmountBaseUnits: 1_000n,
      balanceNodes: 1,
      creditAt: "2",
      sequence: 2,
    });
    expect(await told()).toEqual(["pending", "pending"]);
    expect(woken).toEqual(["settle now", "settle at 4"]);
    await settle();
    expect(await theDeposit()).toMatchObject({ status: "credited", amountBaseUnits: 900n });
  });

  it("is not told again where all of it has arrived", async () => {
    balances.set(blockOf(1).hash, 1_005n);
    await measureDue(parts(), never);
    expect(await theDeposit()).toMatchObject({ amountBaseUnits: 1_000n, balanceNodes: 1, sequence: 1 });
    expect(await told()).toEqual(["pending"]);
  });

  it("E1: waits with the node's words while a balance is not told, and is asked for again later", async () => {
    balances.set(blockOf(0).hash, "missing trie node");
    await measureDue(parts(), never);
    expect(await theDeposit()).toMatchObject({ status: "pending", measureProblem: "missing trie node" });
    balances.set(blockOf(0).hash, 5n);
    await measureDue(parts(), never); // too early
    expect((await theDeposit()).balanceNodes).toBeNull();
    await makeDue();
    await measureDue(parts(), never);
    expect(await theDeposit()).toMatchObject({ amountBaseUnits: 900n, measureProblem: null });
  });

  it("waits while no node has its block", async () => {
    isBlockGone = true;
    await measureDue(parts(), never);
    expect(await theDeposit()).toMatchObject({ measureProblem: "The node does not know the block" });
  });

  it("is measured by one of two that look at the same time, and written once", async () => {
    await Promise.all([measureDue(parts(), never), measureDue(parts(), never)]);
    expect(await told()).toEqual(["pending", "pending"]);
    expect(woken).toEqual(["settle now", "settle at 4"]);
  });

  it("is left alone where it left its block while it was being measured", async () => {
    const leaveFirst = async (question: BalanceQuestion) => {
      await test.database.query("UPDATE deposits SET status = 'orphaned', sequence = sequence + 1");
      return balance(question);
    };
    await measureDue({ ...parts(), nodes: { balance: leaveFirst, backfill: { blockByHash } } }, never);
    expect(await theDeposit()).toMatchObject({ status: "orphaned", amountBaseUnits: 1_000n });
  });

  it("stands still on a halted chain", async () => {
    await test.database.query("UPDATE chains SET state = 'halted', state_reason = 'a test'");
    await measureDue(parts(), never);
    expect((await theDeposit()).balanceNodes).toBeNull();
  });

  it("E1: keeps the policy it was seen under when its token is not listed any more", async () => {
    context = { ...context, assets: new Map() };
    await measureDue(parts(), never);
    expect(await theDeposit()).toMatchObject({ amountBaseUnits: 900n, creditAt: "6" });
  });

  it("E1: counts by its event when the config says so, though nobody told its balance", async () => {
    balances.clear();
    await measureDue(parts(), never);
    const byEvent: KnownAsset = { ...asset, amountFrom: "event" };
    context = { ...context, assets: new Map([[USDT, byEvent]]) };
    expect(await countAmountSourceChanges(test.database, asset)).toBe(0);
    expect(await countAmountSourceChanges(test.database, byEvent)).toBe(1);
    await applyAmountSource(test.database, byEvent);
    await measureDue(parts(), never);
    expect(await theDeposit()).toMatchObject({
      status: "pending",
      amountBaseUnits: 1_000n,
      eventAmountBaseUnits: null,
      creditAt: "6",
    });
    expect(await told()).toEqual(["pending"]);
  });

  it("E1: is measured when its token was by event as it was seen, and is by balance now", async () => {
    await test.database.query(
      `UPDATE deposits SET event_amount = NULL, measure_at = NULL, credit_block = 6, unlock_block = 8`,
    );
    expect(await countAmountSourceChanges(test.database, asset)).toBe(1);
    await applyAmountSource(test.database, asset);
    expect(await countAmountSourceChanges(test.database, asset)).toBe(0);
    await measureDue(parts(), never);
    expect(await theDeposit()).toMatchObject({ amountBaseUnits: 900n, eventAmountBaseUnits: 1_000n });
  });

  it("E1: is asked for again in time by a worker whose tokens all count by their event since", async () => {
    const clock = createFakeClock();
    const byEvent: KnownAsset = { ...asset, amountFrom: "event" };
    context = { ...context, assets: new Map([[USDT, byEvent]]) };
    // Postponed at the very moment of the change.
    await test.database.query("UPDATE deposits SET measure_at = now() + interval '1 hour'");
    const stop = new AbortController();
    const running = measureDeposits(parts(), createWakeup(clock), stop.signal);
    await waitFor(() => clock.sleepers().length === 1);
    await makeDue();
    await clock.advance(parts().chain.pollIntervalMs);
    await waitFor(async () => (await theDeposit()).eventAmountBaseUnits === null);
    stop.abort();
    await running;
  });
});
