/** Orders: opened once by their number, and asked for. Every question is scoped to one merchant. */
import { type Address, hexToBytes } from "../core/hex.ts";
import type { Order, OrderStatus } from "../core/order.ts";
import type { Sql } from "../db/database.ts";
import { ORDER_COLUMNS, type OrderRow, toOrder } from "./order-row.ts";

/** Any number of ours: what sets these locks apart from other advisory locks in the database. */
const ORDER_NO_LOCKS = 0x6f726472;

/**
 * Until the transaction ends nobody else opens an order of this number. A lock, as there is no row yet to wait at: an
 * order's address must be there before it, and must not be taken twice. Two numbers with one hash wait for each other.
 */
export async function lockOrderNo(tx: Sql, merchantId: string, orderNo: string): Promise<void> {
  await tx.query("SELECT pg_advisory_xact_lock($1, hashtext($2))", [
    ORDER_NO_LOCKS,
    JSON.stringify([merchantId, orderNo]),
  ]);
}

export interface NewOrder {
  readonly id: string;
  readonly merchantId: string;
  readonly orderNo: string;
  readonly userId: string;
  readonly chainId: number;
  readonly assetId: number;
  readonly amountBaseUnits: bigint;
  /** Registered for this order in the same transaction. */
  readonly address: Address;
  readonly lifetimeS: number;
}

/** Its deadline is by the database's clock. */
export async function insertOrder(tx: Sql, order: NewOrder): Promise<Order> {
  const [row] = await tx.query<OrderRow>(
    `WITH o AS (
       INSERT INTO orders (id, merchant_id, order_no, user_id, chain_id, asset_id, amount, address, lifetime_s,
         created_at, expires_at)
       VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9::integer, now(), now() + make_interval(secs => $9))
       RETURNING *
     )
     SELECT ${ORDER_COLUMNS} FROM o JOIN assets a ON a.id = o.asset_id`,
    [
      order.id,
      order.merchantId,
      order.orderNo,
      order.userId,
      order.chainId,
      order.assetId,
      order.amountBaseUnits.toString(),
      hexToBytes(order.address),
      order.lifetimeS,
    ],
  );
  if (row === undefined) throw new Error("An order was not inserted");
  return toOrder(row);
}

export async function findOrderByNo(
  sql: Sql,
  merchantId: string,
  orderNo: string,
): Promise<Order | undefined> {
  const [order] = await listOrders(sql, { merchantId, orderNo, limit: 1 });
  return order;
}

/** Of an order `o`: what came in time of its asset, and waits for credit. */
export const WAITING_DEPOSITS = `
  FROM deposits d
  WHERE d.to_address = o.address AND d.asset_id = o.asset_id
    AND d.status IN ('pending', 'held') AND d.block_time <= o.expires_at`;

/** An order with what waits for credit. */
export interface OrderWithPending {
  readonly order: Order;
  /** Of its asset and in time: pending or held. */
  readonly pendingBaseUnits: bigint;
}

/** In one look: what is credited meanwhile is in one of the two sums, and in one only. */
export async function findOrder(
  sql: Sql,
  merchantId: string,
  id: string,
): Promise<OrderWithPending | undefined> {
  const [row] = await sql.query<OrderRow & { pending: string }>(
    `SELECT ${ORDER_COLUMNS}, (SELECT coalesce(sum(d.amount), 0) ${WAITING_DEPOSITS}) AS pending
     FROM orders o JOIN assets a ON a.id = o.asset_id
     WHERE o.merchant_id = $1 AND o.id = $2`,
    [merchantId, id],
  );
  return row === undefined ? undefined : { order: toOrder(row), pendingBaseUnits: BigInt(row.pending) };
}

export interface OrderFilter {
  readonly merchantId: string;
  readonly orderNo?: string | undefined;
  readonly status?: OrderStatus | undefined;
  readonly userId?: string | undefined;
  readonly address?: Address | undefined;
  readonly limit: number;
  /** The last order of the page before. */
  readonly after?: { readonly createdAt: Date; readonly id: string } | undefined;
}

/** Newest first. */
export async function listOrders(sql: Sql, filter: OrderFilter): Promise<Order[]> {
  const values: unknown[] = [filter.merchantId];
  const conditions = ["o.merchant_id = $1"];
  const where = (condition: (...parameters: string[]) => string, ...given: unknown[]) => {
    const parameters = given.map((value) => `$${values.push(value)}`);
    conditions.push(condition(...parameters));
  };
  if (filter.orderNo !== undefined) where((orderNo) => `o.order_no = ${orderNo}`, filter.orderNo);
  if (filter.status !== undefined) where((status) => `o.status = ${status}`, filter.status);
  if (filter.userId !== undefined) where((userId) => `o.user_id = ${userId}`, filter.userId);
  if (filter.address !== undefined) where((address) => `o.address = ${address}`, hexToBytes(filter.address));
  if (filter.after !== undefined)
    where((time, id) => `(o.created_at, o.id) < (${time}, ${id})`, filter.after.createdAt, filter.after.id);
  const rows = await sql.query<OrderRow>(
    `SELECT ${ORDER_COLUMNS} FROM orders o JOIN assets a ON a.id = o.asset_id
     WHERE ${conditions.join(" AND ")}
     ORDER BY o.created_at DESC, o.id DESC LIMIT $${values.push(filter.limit)}`,
    values,
  );
  return rows.map(toOrder);
}
