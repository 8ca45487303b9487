/** Deposits as a merchant asks for them. Every question is scoped to one merchant. */
import type { Deposit, DepositStatus } from "../core/deposit.ts";
import { type Address, type Hash, hexToBytes } from "../core/hex.ts";
import type { Sql } from "../db/database.ts";
import { DEPOSIT_COLUMNS, type DepositRow, toDeposit } from "./deposit-row.ts";

export interface DepositFilter {
  readonly merchantId: string;
  readonly status?: DepositStatus | undefined;
  readonly userId?: string | undefined;
  readonly txHash?: Hash | undefined;
  readonly address?: Address | undefined;
  readonly orderNo?: string | undefined;
  readonly limit: number;
  /** The last deposit of the page before. */
  readonly after?: { readonly detectedAt: Date; readonly id: string } | undefined;
}

/** A deposit with the cursor of its chain, from which its depth follows. */
export interface DepositAtCursor {
  readonly deposit: Deposit;
  readonly cursorNumber: bigint;
}

/** Newest first. */
export async function listDeposits(sql: Sql, filter: DepositFilter): Promise<DepositAtCursor[]> {
  const values: unknown[] = [filter.merchantId];
  const conditions = ["d.merchant_id = $1"];
  const where = (condition: (...parameters: string[]) => string, ...given: unknown[]) => {
    const parameters = given.map((value) => `$${values.push(value)}`);
    conditions.push(condition(...parameters));
  };
  if (filter.status !== undefined) where((status) => `d.status = ${status}`, filter.status);
  if (filter.userId !== undefined) where((userId) => `d.user_id = ${userId}`, filter.userId);
  if (filter.txHash !== undefined) where((txHash) => `d.tx_hash = ${txHash}`, hexToBytes(filter.txHash));
  if (filter.address !== undefined)
    where((address) => `d.to_address = ${address}`, hexToBytes(filter.address));
  if (filter.orderNo !== undefined)
    where((orderNo) => `d.to_address = ${orderAddress(orderNo)}`, filter.orderNo);
  if (filter.after !== undefined) {
    where((time, id) => `(d.detected_at, d.id) < (${time}, ${id})`, filter.after.detectedAt, filter.after.id);
  }
  return select(
    sql,
    `${conditions.join(" AND ")} ORDER BY d.detected_at DESC, d.id DESC LIMIT $${values.push(filter.limit)}`,
    values,
  );
}

/**
 * Of the merchant in `$1`: an order and its address belong to each other alone, so its deposits are those of the
 * address, which has an index. One on their `order_no` would be another to keep with every deposit.
 */
export function orderAddress(orderNo: string): string {
  return `(SELECT o.address FROM orders o WHERE o.merchant_id = $1 AND o.order_no = ${orderNo})`;
}

export async function findDeposit(
  sql: Sql,
  merchantId: string,
  id: string,
): Promise<DepositAtCursor | undefined> {
  const [found] = await select(sql, "d.merchant_id = $1 AND d.id = $2", [merchantId, id]);
  return found;
}

async function select(sql: Sql, condition: string, values: readonly unknown[]): Promise<DepositAtCursor[]> {
  const rows = await sql.query<DepositRow & { cursor_number: bigint }>(
    `SELECT ${DEPOSIT_COLUMNS}, c.cursor_number
     FROM deposits d JOIN chains c ON c.chain_id = d.chain_id LEFT JOIN assets a ON a.id = d.asset_id
     WHERE ${condition}`,
    values,
  );
  return rows.map((row) => ({ deposit: toDeposit(row), cursorNumber: row.cursor_number }));
}
