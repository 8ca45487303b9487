/** How an order is read from the database: one list of columns, one mapping, for every query that yields orders. */
import { bytesToHex } from "../core/hex.ts";
import type { Order, OrderStatus } from "../core/order.ts";

/** Select it from `orders o JOIN assets a ON a.id = o.asset_id` (or rows of the same shape as `o`). */
export const ORDER_COLUMNS = `
  o.id, o.sequence, o.status, o.merchant_id, o.order_no, o.user_id, o.chain_id, o.asset_id, a.currency, a.decimals,
  a.token, o.amount, o.address, o.lifetime_s, o.expires_at, o.paid, o.late, o.paid_at, o.created_at`;

export interface OrderRow {
  id: string;
  sequence: number;
  status: OrderStatus;
  merchant_id: string;
  order_no: string;
  user_id: string;
  chain_id: bigint;
  asset_id: number;
  currency: string;
  decimals: number;
  token: Buffer | null;
  amount: string;
  address: Buffer;
  lifetime_s: number;
  expires_at: Date;
  paid: string;
  late: string;
  paid_at: Date | null;
  created_at: Date;
}

export function toOrder(row: OrderRow): Order {
  return {
    id: row.id,
    sequence: row.sequence,
    status: row.status,
    merchantId: row.merchant_id,
    orderNo: row.order_no,
    userId: row.user_id,
    chainId: Number(row.chain_id),
    assetId: row.asset_id,
    currency: row.currency,
    decimals: row.decimals,
    token: row.token === null ? null : bytesToHex(row.token),
    amountBaseUnits: BigInt(row.amount),
    address: bytesToHex(row.address),
    lifetimeS: row.lifetime_s,
    expiresAt: row.expires_at,
    paidBaseUnits: BigInt(row.paid),
    lateBaseUnits: BigInt(row.late),
    paidAt: row.paid_at,
    createdAt: row.created_at,
  };
}
