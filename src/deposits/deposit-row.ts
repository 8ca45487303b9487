/** How a deposit is read from the database: one list of columns, one mapping, for every query that yields deposits. */
import type { TransferSource } from "../core/chain.ts";
import type { Deposit, DepositStatus } from "../core/deposit.ts";
import { bytesToHex } from "../core/hex.ts";
import type { Verification } from "../core/verification.ts";

/** Select it from `deposits d LEFT JOIN assets a ON a.id = d.asset_id` (or rows of the same shape as `d`). */
export const DEPOSIT_COLUMNS = `
  d.id, d.sequence, d.generation, d.status, d.reason, d.merchant_id, d.user_id, d.order_no, d.chain_id, d.asset_id,
  a.currency, a.decimals, d.token, d.amount, d.from_address, d.to_address, d.sender, d.tx_hash, d.source,
  d.block_number, d.block_hash, d.block_time, d.verification, d.credit_at, d.unlock_at, d.detected_at,
  d.credited_at, d.unlocked_at, d.shortfall, d.event_amount, d.balance_nodes, d.measure_problem`;

export interface DepositRow {
  id: string;
  sequence: number;
  generation: number;
  status: DepositStatus;
  reason: string | null;
  merchant_id: string;
  user_id: string;
  order_no: string | null;
  chain_id: bigint;
  asset_id: number | null;
  currency: string | null;
  decimals: number | null;
  token: Buffer | null;
  amount: string;
  from_address: Buffer;
  to_address: Buffer;
  sender: Buffer | null;
  tx_hash: Buffer | null;
  source: string;
  block_number: bigint;
  block_hash: Buffer;
  block_time: Date;
  verification: Verification;
  credit_at: string | null;
  unlock_at: string | null;
  detected_at: Date;
  credited_at: Date | null;
  unlocked_at: Date | null;
  shortfall: string | null;
  event_amount: string | null;
  balance_nodes: number | null;
  measure_problem: string | null;
}

export function toDeposit(row: DepositRow): Deposit {
  return {
    id: row.id,
    sequence: row.sequence,
    generation: row.generation,
    status: row.status,
    reason: row.reason,
    merchantId: row.merchant_id,
    userId: row.user_id,
    orderNo: row.order_no,
    chainId: Number(row.chain_id),
    assetId: row.asset_id,
    currency: row.currency,
    decimals: row.decimals,
    token: row.token === null ? null : bytesToHex(row.token),
    amountBaseUnits: BigInt(row.amount),
    eventAmountBaseUnits: row.event_amount === null ? null : BigInt(row.event_amount),
    balanceNodes: row.balance_nodes,
    measureProblem: row.measure_problem,
    from: bytesToHex(row.from_address),
    to: bytesToHex(row.to_address),
    sender: row.sender === null ? null : bytesToHex(row.sender),
    txHash: row.tx_hash === null ? null : bytesToHex(row.tx_hash),
    source: row.source as TransferSource,
    blockNumber: row.block_number,
    blockHash: bytesToHex(row.block_hash),
    blockTime: row.block_time,
    verification: row.verification,
    creditAt: row.credit_at,
    unlockAt: row.unlock_at,
    detectedAt: row.detected_at,
    creditedAt: row.credited_at,
    unlockedAt: row.unlocked_at,
    shortfallBaseUnits: row.shortfall === null ? null : BigInt(row.shortfall),
  };
}
