/** Orders as rows, with the address that belongs to each. */
import { hexToBytes } from "../core/hex.ts";
import type { Order } from "../core/order.ts";
import type { Database } from "../db/database.ts";
import { registerAddress } from "../merchants/address-store.ts";
import { ORDER_COLUMNS, type OrderRow, toOrder } from "../orders/order-row.ts";
import { addressOf, MERCHANT_ID } from "./factory.ts";

export interface WantedOrder {
  /** Also names its address: `addressOf(orderNo)`. */
  readonly orderNo: string;
  readonly asset: { readonly id: number; readonly chainId: number };
  readonly amountBaseUnits: bigint;
  readonly expiresAt: Date;
}

/** For the user `payer`. Answers its id. */
export async function insertOrder(database: Database, wanted: WantedOrder): Promise<string> {
  const { orderNo, asset, amountBaseUnits, expiresAt } = wanted;
  const address = addressOf(orderNo);
  const id = `ord_${orderNo}`;
  await registerAddress(database, { address, merchantId: MERCHANT_ID, userId: "payer", orderNo });
  await database.query(
    `INSERT INTO orders (id, merchant_id, order_no, user_id, chain_id, asset_id, amount, address, lifetime_s, expires_at)
     VALUES ($1, $2, $3, 'payer', $4, $5, $6, $7, 60, $8)`,
    [
      id,
      MERCHANT_ID,
      orderNo,
      asset.chainId,
      asset.id,
      amountBaseUnits.toString(),
      hexToBytes(address),
      expiresAt,
    ],
  );
  return id;
}

export async function readOrder(database: Database, id: string): Promise<Order> {
  const [row] = await database.query<OrderRow>(
    `SELECT ${ORDER_COLUMNS} FROM orders o JOIN assets a ON a.id = o.asset_id WHERE o.id = $1`,
    [id],
  );
  if (row === undefined) throw new Error(`There is no order ${id}`);
  return toOrder(row);
}

/** What was told of it, in the order of the feed: `["1 underpaid", "2 paid"]`. */
export async function orderMoves(database: Database, id: string): Promise<string[]> {
  const rows = await database.query<{ move: string }>(
    `SELECT sequence || ' ' || substr(type, 7) AS move FROM events e WHERE e.order_id = $1 ORDER BY e.xid, e.id`,
    [id],
  );
  return rows.map(({ move }) => move);
}
