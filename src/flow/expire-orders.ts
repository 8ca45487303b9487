/**
 * [tx per batch] Ends orders whose deadline the chain has passed: its cursor is at a block of a later time, and no
 * deposit in time waits for its credit any more.
 *
 * The chain's row is held (so no ingest or undo moves it meanwhile) → such orders, locked → as `revise-orders` goes on.
 * Any number may do it at once: an order that somebody has locked is left to them.
 */
import type { Database, Sql } from "../db/database.ts";
import { isAnyOrderOverdue, lockOverdueOrders } from "../orders/order-status-store.ts";
import { appendEvents } from "../outbox/event-store.ts";
import { holdCursor } from "../scanner/cursor-store.ts";
import { reviseLockedOrders } from "./revise-orders.ts";

const BATCH_SIZE = 1_000;

export interface Expired {
  readonly count: number;
  readonly deliveryCount: number;
}

const NONE: Expired = { count: 0, deliveryCount: 0 };

export async function expireOrders(
  database: Database,
  chainId: number,
  signal?: AbortSignal,
): Promise<Expired> {
  const total = { ...NONE };
  if (!(await isAnyOrderOverdue(database, chainId))) return total;
  while (signal?.aborted !== true) {
    const batch = await database.transaction((tx) => expireBatch(tx, chainId));
    total.count += batch.count;
    total.deliveryCount += batch.deliveryCount;
    if (batch.count < BATCH_SIZE) break;
  }
  return total;
}

async function expireBatch(tx: Sql, chainId: number): Promise<Expired> {
  const cursor = await holdCursor(tx, chainId);
  if (cursor === null) return NONE;
  const events = await reviseLockedOrders(tx, await lockOverdueOrders(tx, chainId, BATCH_SIZE), cursor.at);
  return { count: events.length, deliveryCount: await appendEvents(tx, events) };
}
