/**
 * [within a tx] What credits and reversals do to orders: the orders they name, locked in the order of their ids → what
 * their deposits come to → status and amounts. Answers the events that tell of it, for the caller to append behind
 * those of the deposits.
 *
 * Comes last of all that such a transaction locks, after the chain's row, the deposits and the accounts of the ledger;
 * whoever holds an order waits for none of these. The sums are read once the orders are locked: of two settlers that
 * credit two parts of one order, the second sees what the first has committed.
 */
import type { Deposit } from "../core/deposit.ts";
import type { Order } from "../core/order.ts";
import { reviseOrder } from "../core/order-revision.ts";
import type { Sql } from "../db/database.ts";
import {
  lockNamedOrders,
  type NamedOrder,
  readOrderFacts,
  updateOrders,
} from "../orders/order-status-store.ts";
import type { OrderEvent } from "../outbox/event-store.ts";
import { orderEvent } from "../outbox/order-event.ts";

/**
 * Deposits that no order was made for cost nothing, not even a question.
 *
 * @param deposits just credited or reversed
 * @param at the transaction's time
 */
export async function reviseOrders(tx: Sql, deposits: readonly Deposit[], at: Date): Promise<OrderEvent[]> {
  const names = deposits.flatMap(nameOrder);
  return names.length === 0 ? [] : reviseLockedOrders(tx, await lockNamedOrders(tx, names), at);
}

function nameOrder({ merchantId, orderNo, assetId }: Deposit): NamedOrder[] {
  return orderNo === null || assetId === null ? [] : [{ merchantId, orderNo, assetId }];
}

/** @param orders locked by this transaction */
export async function reviseLockedOrders(tx: Sql, orders: readonly Order[], at: Date): Promise<OrderEvent[]> {
  if (orders.length === 0) return [];
  const facts = await readOrderFacts(tx, orders);
  const revisions = orders.flatMap((order) => {
    const found = facts.get(order.id);
    return (found === undefined ? null : reviseOrder(order, found, at)) ?? [];
  });
  if (revisions.length === 0) return [];
  await updateOrders(
    tx,
    revisions.map(({ order }) => order),
  );
  return revisions.flatMap(({ order, type }) => (type === null ? [] : orderEvent(order, type, at)));
}
