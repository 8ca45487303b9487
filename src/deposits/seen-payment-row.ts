/** How a seen payment is read from the database: one list of columns, one mapping. */
import { bytesToHex } from "../core/hex.ts";
import type { SeenPayment, SeenSource, SeenStatus } from "../core/seen-payment.ts";

/** Select it from `seen_payments s JOIN assets a ON a.id = s.asset_id` (or rows of the same shape as `s`). */
export const SEEN_PAYMENT_COLUMNS = `
  s.id, s.sequence, s.status, s.merchant_id, s.user_id, s.order_no, s.chain_id, a.currency, a.decimals, s.token, s.amount,
  s.sender, s.nonce, s.from_address, s.to_address, s.tx_hash, s.source, s.credit_at, s.unlock_at, s.replaced_by,
  s.block_number, s.block_hash, s.deposit_ids, s.detected_at, s.changed_at`;

export interface SeenPaymentRow {
  id: string;
  sequence: number;
  status: SeenStatus;
  merchant_id: string;
  user_id: string;
  order_no: string | null;
  chain_id: bigint;
  currency: string;
  decimals: number;
  token: Buffer | null;
  amount: string;
  sender: Buffer;
  nonce: bigint;
  from_address: Buffer;
  to_address: Buffer;
  tx_hash: Buffer;
  source: SeenSource;
  credit_at: string;
  unlock_at: string;
  replaced_by: Buffer | null;
  block_number: bigint | null;
  block_hash: Buffer | null;
  deposit_ids: string[];
  detected_at: Date;
  changed_at: Date;
}

export function toSeenPayment(row: SeenPaymentRow): SeenPayment {
  const { block_number: number, block_hash: hash } = row;
  return {
    id: row.id,
    sequence: row.sequence,
    status: row.status,
    merchantId: row.merchant_id,
    userId: row.user_id,
    orderNo: row.order_no,
    chainId: Number(row.chain_id),
    currency: row.currency,
    decimals: row.decimals,
    token: row.token === null ? null : bytesToHex(row.token),
    amountBaseUnits: BigInt(row.amount),
    sender: bytesToHex(row.sender),
    nonce: row.nonce,
    from: bytesToHex(row.from_address),
    to: bytesToHex(row.to_address),
    txHash: bytesToHex(row.tx_hash),
    source: row.source,
    creditAt: row.credit_at,
    unlockAt: row.unlock_at,
    replacedBy: row.replaced_by === null ? null : bytesToHex(row.replaced_by),
    block: number === null || hash === null ? null : { number, hash: bytesToHex(hash) },
    depositIds: row.deposit_ids,
    detectedAt: row.detected_at,
    changedAt: row.changed_at,
  };
}
