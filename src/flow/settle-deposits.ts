/**
 * [tx per batch] Settles a chain: every deposit whose threshold is met at the cursor is credited or unlocked, or held
 * where a rule of the review speaks against its credit.
 *
 * The chain's row is held (so no ingest or undo moves it meanwhile) → due deposits, locked → status → ledger
 * entries → the orders that credits name → events and deliveries, each one statement. May run anywhere, any number
 * of times, by any number of settlers at once: a deposit is due to one of them, and only once.
 */
import type { DepositStatus } from "../core/deposit.ts";
import type { Database, Sql } from "../db/database.ts";
import { lockDueDeposits, moveDeposits, type SettleStage } from "../deposits/deposit-store.ts";
import type { Entry, LedgerItem } from "../ledger/entry.ts";
import { bookEntries } from "../ledger/ledger-store.ts";
import { planCredits, planUnlocks } from "../ledger/plan-store.ts";
import { depositEvent } from "../outbox/deposit-event.ts";
import { appendEvents } from "../outbox/event-store.ts";
import type { HoldRules } from "../review/hold-rules.ts";
import { holdCursor } from "../scanner/cursor-store.ts";
import { ledgerItem } from "./ledger-item.ts";
import { reviseOrders } from "./revise-orders.ts";
import { withholdDeposits } from "./withhold-deposits.ts";

/** Large enough that a commit is shared by many, small enough that an ingest never waits long for the chain's row. */
const BATCH_SIZE = 1_000;
/** Two keep a process and its database busy at the same time; more would only take turns. */
const LANES = 2;
const BATCHES_PER_ROUND = 3;

interface Step {
  readonly to: DepositStatus;
  plan(tx: Sql, items: readonly LedgerItem[]): Promise<Entry[]>;
}

const STEPS: Readonly<Record<SettleStage, Step>> = {
  credit: { to: "credited", plan: planCredits },
  unlock: { to: "unlocked", plan: planUnlocks },
};

export interface Settled {
  readonly credited: number;
  /** In place of a credit; of them those that the screening service rejected. */
  readonly held: number;
  readonly rejected: number;
  readonly unlocked: number;
  readonly deliveryCount: number;
}

/** @param rules what holds a deposit before its credit; `null`: nothing does, and nothing is asked */
export async function settleDeposits(
  database: Database,
  chainId: number,
  signal?: AbortSignal,
  rules: HoldRules | null = null,
): Promise<Settled> {
  const credits = await settleStage(database, chainId, "credit", rules, signal);
  const unlocks = await settleStage(database, chainId, "unlock", null, signal);
  return {
    credited: credits.count,
    held: credits.heldCount,
    rejected: credits.rejectedCount,
    unlocked: unlocks.count,
    deliveryCount: credits.deliveryCount + unlocks.deliveryCount,
  };
}

const NOTHING: Batch = { count: 0, heldCount: 0, rejectedCount: 0, deliveryCount: 0 };

interface Batch {
  /** Credited or unlocked. */
  readonly count: number;
  readonly heldCount: number;
  readonly rejectedCount: number;
  readonly deliveryCount: number;
}

/**
 * Batch after batch until none is left. A first full batch means that there are many: then two lanes take turns, one
 * of them building events while the other's are being written. Between rounds no lane holds the chain's row, so that
 * an ingest or a renewal of the lease gets its turn however much is due.
 */
async function settleStage(
  database: Database,
  chainId: number,
  stage: SettleStage,
  rules: HoldRules | null,
  signal: AbortSignal | undefined,
): Promise<Batch> {
  const total = { ...NOTHING };
  const settle = async (): Promise<boolean> => {
    if (signal?.aborted === true) return false;
    const batch = await database.transaction((tx) => settleBatch(tx, chainId, stage, rules));
    total.count += batch.count;
    total.heldCount += batch.heldCount;
    total.rejectedCount += batch.rejectedCount;
    total.deliveryCount += batch.deliveryCount;
    return batch.count + batch.heldCount === BATCH_SIZE;
  };
  const lane = async (): Promise<boolean> => {
    for (let batch = 0; batch < BATCHES_PER_ROUND; batch++) if (!(await settle())) return false;
    return true;
  };
  let isMore = await settle();
  while (isMore) isMore = (await inLanes(lane)).every((hasMore) => hasMore);
  return total;
}

/** Waits for every lane, also when one fails: nothing may go on behind the caller's back. */
async function inLanes(lane: () => Promise<boolean>): Promise<boolean[]> {
  const outcomes = await Promise.allSettled(Array.from({ length: LANES }, lane));
  return outcomes.map((outcome) => {
    if (outcome.status === "rejected") throw outcome.reason;
    return outcome.value;
  });
}

async function settleBatch(
  tx: Sql,
  chainId: number,
  stage: SettleStage,
  rules: HoldRules | null,
): Promise<Batch> {
  const cursor = await holdCursor(tx, chainId);
  if (cursor === null) return NOTHING;
  const only = rules === null || rules.onNoAnswer === null ? "all" : "screened";
  const due = await lockDueDeposits(tx, chainId, stage, cursor.reached, BATCH_SIZE, only);
  if (due.length === 0) return NOTHING;
  const withheld =
    rules === null ? { passed: due, moved: [] } : await withholdDeposits(tx, due, rules, cursor.at);

  const { to, plan } = STEPS[stage];
  const moved = await moveDeposits(
    tx,
    withheld.passed.map((deposit) => ({ deposit, to })),
    cursor.at,
  );
  await bookEntries(tx, await plan(tx, moved.map(ledgerItem)));
  const told = [...withheld.moved, ...moved].map((deposit) =>
    depositEvent(deposit, cursor.cursorNumber, cursor.at),
  );
  const revised = stage === "credit" ? await reviseOrders(tx, moved, cursor.at) : [];
  return {
    count: moved.length,
    heldCount: due.length - moved.length,
    rejectedCount: withheld.moved.filter(({ status }) => status === "rejected").length,
    deliveryCount: await appendEvents(tx, [...told, ...revised]),
  };
}
