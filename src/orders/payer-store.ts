/** An order as its payer is shown it: found by its id alone, whoever's it is. */
import type { Order } from "../core/order.ts";
import type { Sql } from "../db/database.ts";
import { ORDER_COLUMNS, type OrderRow, toOrder } from "./order-row.ts";
import { WAITING_DEPOSITS } from "./order-store.ts";

export interface PayerOrder {
  readonly order: Order;
  readonly chainName: string;
  /** In time and in a block, not credited yet. */
  readonly pendingBaseUnits: bigint;
  /** The newest of it: its depth, and what it waits for as it is stored (`12`, `finalized`). `null`: there is none. */
  readonly waiting: { readonly depth: number; readonly creditAt: string } | null;
  /** In the mempool. */
  readonly seenBaseUnits: bigint;
  /** By the database's clock, as deadlines are. */
  readonly now: Date;
}

interface PayerRow extends OrderRow {
  chain_name: string;
  now: Date;
  pending: string;
  depth: bigint | null;
  credit_at: string | null;
  seen: string;
}

/** In one look, so that nothing is counted twice or left out while it goes on its way. */
export async function findPayerOrder(sql: Sql, orderId: string): Promise<PayerOrder | undefined> {
  const [row] = await sql.query<PayerRow>(
    `SELECT ${ORDER_COLUMNS}, c.name AS chain_name, now() AS now, p.pending, c.cursor_number - p.newest + 1 AS depth,
       p.credit_at, s.seen
     FROM orders o JOIN assets a ON a.id = o.asset_id JOIN chains c ON c.chain_id = o.chain_id
     CROSS JOIN LATERAL (
       SELECT coalesce(sum(d.amount), 0) AS pending, max(d.block_number) AS newest,
         (array_agg(d.credit_at ORDER BY d.block_number DESC))[1] AS credit_at
       ${WAITING_DEPOSITS}
     ) p
     CROSS JOIN LATERAL (
       SELECT coalesce(sum(m.amount), 0) AS seen FROM seen_payments m
       WHERE m.to_address = o.address AND m.asset_id = o.asset_id AND m.status = 'seen'
     ) s
     WHERE o.id = $1`,
    [orderId],
  );
  if (row === undefined) return undefined;
  const { depth, credit_at: creditAt } = row;
  return {
    order: toOrder(row),
    chainName: row.chain_name,
    pendingBaseUnits: BigInt(row.pending),
    waiting: depth === null || creditAt === null ? null : { depth: Number(depth), creditAt },
    seenBaseUnits: BigInt(row.seen),
    now: row.now,
  };
}
