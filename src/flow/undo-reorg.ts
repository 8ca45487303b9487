/**
 * [tx] Undoes the blocks above a common ancestor: their deposits become orphaned or reversed (with a ledger
 * entry that reverses the credit), the orders that these had paid fall back, merchants are told, and the cursor
 * stands at the ancestor again. All or nothing, and never refused for lack of balance: what a user no longer has
 * becomes a receivable.
 */
import type { BlockHeader } from "../core/chain.ts";
import { type Deposit, statusAfterReorg } from "../core/deposit.ts";
import type { Database, Sql } from "../db/database.ts";
import { type DepositMove, lockDepositsAbove, moveDeposits } from "../deposits/deposit-store.ts";
import { bookEntries } from "../ledger/ledger-store.ts";
import { planReversals } from "../ledger/plan-store.ts";
import { depositEvent } from "../outbox/deposit-event.ts";
import { appendEvents } from "../outbox/event-store.ts";
import { deleteBlockRefsAbove } from "../scanner/block-ref-store.ts";
import { type CursorClaim, holdCursor, moveCursor } from "../scanner/cursor-store.ts";
import { ledgerItem } from "./ledger-item.ts";
import { reviseOrders } from "./revise-orders.ts";

export interface Undone {
  readonly orphaned: readonly Deposit[];
  /** Of one whose `shortfallBaseUnits` is not zero the user had spent some. Somebody should look. */
  readonly reversed: readonly Deposit[];
  readonly deliveryCount: number;
}

/** @throws {TemporaryError} `cursor_moved` when the cursor, the lease or the chain's state is not as expected */
export async function undoReorg(
  database: Database,
  from: CursorClaim,
  ancestor: BlockHeader,
): Promise<Undone> {
  return database.transaction(async (tx) => {
    await moveCursor(tx, from, ancestor);
    await deleteBlockRefsAbove(tx, from.chainId, ancestor.number);
    return undoDepositsAbove(tx, from.chainId, ancestor.number);
  });
}

/** Within a transaction that has moved the cursor to `number` already. */
export async function undoDepositsAbove(tx: Sql, chainId: number, number: bigint): Promise<Undone> {
  const held = await holdCursor(tx, chainId);
  if (held === null) throw new Error(`Chain ${chainId} lost its cursor inside an undo`);
  const gone = await lockDepositsAbove(tx, chainId, number);
  const shortfalls = await reverseCredits(
    tx,
    gone.filter((deposit) => statusAfterReorg(deposit.status) === "reversed"),
  );
  const moves = gone.flatMap((deposit) => leavingMove(deposit, shortfalls));
  const moved = await moveDeposits(tx, moves, held.at);
  const reversed = moved.filter((deposit) => deposit.status === "reversed");
  const told = moved.map((deposit) => depositEvent(deposit, held.cursorNumber, held.at));
  const revised = await reviseOrders(tx, reversed, held.at);
  return {
    orphaned: moved.filter((deposit) => deposit.status === "orphaned"),
    reversed,
    deliveryCount: await appendEvents(tx, [...told, ...revised]),
  };
}

/** Answers by deposit what its user no longer had, zero or more. */
async function reverseCredits(tx: Sql, credited: readonly Deposit[]): Promise<ReadonlyMap<string, bigint>> {
  const reversals = await planReversals(
    tx,
    credited.map((deposit) => ({ item: ledgerItem(deposit), isUnlocked: deposit.status === "unlocked" })),
  );
  await bookEntries(
    tx,
    reversals.map((reversal) => reversal.entry),
  );
  return new Map(reversals.map(({ entry, shortfallBaseUnits }) => [entry.reference, shortfallBaseUnits]));
}

function leavingMove(deposit: Deposit, shortfalls: ReadonlyMap<string, bigint>): DepositMove[] {
  const to = statusAfterReorg(deposit.status);
  if (to === null) return [];
  const shortfallBaseUnits = shortfalls.get(deposit.id);
  return [{ deposit, to, ...(shortfallBaseUnits === undefined ? {} : { shortfallBaseUnits }) }];
}
