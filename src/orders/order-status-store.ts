/**
 * What changes an order: those that deposits name, or whose deadline passed, are locked first; what their deposits come
 * to is read by a later statement, which therefore sees whatever an earlier holder of the lock has committed.
 */
import type { Order, OrderFacts } from "../core/order.ts";
import type { Sql } from "../db/database.ts";
import { ORDER_COLUMNS, type OrderRow, toOrder } from "./order-row.ts";

/** An order by its merchant's number, as far as this asset can change it. */
export interface NamedOrder {
  readonly merchantId: string;
  readonly orderNo: string;
  readonly assetId: number;
}

/**
 * Locked in the order of their ids, so that two who lock the same ones never wait for each other in a circle. An order
 * of another asset, and so of another chain, is none of them.
 */
export async function lockNamedOrders(tx: Sql, names: readonly NamedOrder[]): Promise<Order[]> {
  const rows = await tx.query<OrderRow>(
    `SELECT ${ORDER_COLUMNS} FROM orders o JOIN assets a ON a.id = o.asset_id
     WHERE (o.merchant_id, o.order_no, o.asset_id) IN (SELECT * FROM unnest($1::text[], $2::text[], $3::integer[]))
     ORDER BY o.id FOR UPDATE OF o`,
    [
      names.map(({ merchantId }) => merchantId),
      names.map(({ orderNo }) => orderNo),
      names.map(({ assetId }) => assetId),
    ],
  );
  return rows.map(toOrder);
}

/**
 * Running orders of chain $1 whose deadline is before its cursor and that no deposit in time can change any more. The
 * deposits are looked at as a value: as a condition of its own, the planner may prefer to read all that ever came.
 */
const OVERDUE = `
  o.chain_id = $1 AND o.status IN ('open', 'underpaid')
  AND o.expires_at < (SELECT cursor_time FROM chains WHERE chain_id = $1)
  AND (SELECT count(*) FROM deposits d
    WHERE d.to_address = o.address AND d.asset_id = o.asset_id AND d.block_time <= o.expires_at
      AND d.status IN ('pending', 'held')) = 0`;

/** Whether `lockOverdueOrders` would find any. */
export async function isAnyOrderOverdue(sql: Sql, chainId: number): Promise<boolean> {
  const rows = await sql.query(`SELECT FROM orders o WHERE ${OVERDUE} LIMIT 1`, [chainId]);
  return rows.length > 0;
}

/** Locked; one that somebody else has locked is left alone, and looked at again the next time. */
export async function lockOverdueOrders(tx: Sql, chainId: number, limit: number): Promise<Order[]> {
  const rows = await tx.query<OrderRow>(
    `SELECT ${ORDER_COLUMNS} FROM orders o JOIN assets a ON a.id = o.asset_id
     WHERE ${OVERDUE} ORDER BY o.expires_at LIMIT ${limit} FOR UPDATE OF o SKIP LOCKED`,
    [chainId],
  );
  return rows.map(toOrder);
}

/** What the status of each order follows from, by its id. */
export async function readOrderFacts(
  tx: Sql,
  orders: readonly Order[],
): Promise<ReadonlyMap<string, Omit<OrderFacts, "amountBaseUnits">>> {
  const rows = await tx.query<{ id: string; paid: string; late: string; is_over: boolean }>(
    `SELECT o.id, s.paid::text, s.late::text,
       coalesce(c.cursor_time > o.expires_at, false) AND s.waiting = 0 AS is_over
     FROM orders o JOIN chains c ON c.chain_id = o.chain_id
     CROSS JOIN LATERAL (
       SELECT
         coalesce(sum(d.amount) FILTER (WHERE is_credited AND is_in_time), 0) AS paid,
         coalesce(sum(d.amount) FILTER (WHERE is_credited AND NOT is_in_time), 0) AS late,
         count(*) FILTER (WHERE d.status IN ('pending', 'held') AND is_in_time) AS waiting
       FROM deposits d
       CROSS JOIN LATERAL (
         SELECT d.status IN ('credited', 'unlocked') AS is_credited, d.block_time <= o.expires_at AS is_in_time
       ) r
       WHERE d.to_address = o.address AND d.asset_id = o.asset_id
     ) s
     WHERE o.id = ANY ($1)`,
    [orders.map(({ id }) => id)],
  );
  return new Map(
    rows.map(({ id, paid, late, is_over: isOver }) => [
      id,
      { paidBaseUnits: BigInt(paid), lateBaseUnits: BigInt(late), isOver },
    ]),
  );
}

/** Writes what was revised. The caller has locked them. */
export async function updateOrders(tx: Sql, orders: readonly Order[]): Promise<void> {
  await tx.query(
    `UPDATE orders o SET status = r.status, sequence = r.sequence, paid = r.paid, late = r.late, paid_at = r.paid_at
     FROM unnest($1::text[], $2::text[], $3::integer[], $4::numeric[], $5::numeric[], $6::timestamptz[])
       AS r(id, status, sequence, paid, late, paid_at)
     WHERE o.id = r.id`,
    [
      orders.map(({ id }) => id),
      orders.map(({ status }) => status),
      orders.map(({ sequence }) => sequence),
      orders.map(({ paidBaseUnits }) => paidBaseUnits.toString()),
      orders.map(({ lateBaseUnits }) => lateBaseUnits.toString()),
      orders.map(({ paidAt }) => paidAt),
    ],
  );
}
