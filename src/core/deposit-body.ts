/** A deposit as programs outside see it: the same shape in the API's answers and in callbacks. */
import { formatAmount } from "./amount.ts";
import type { AmountSource } from "./asset.ts";
import type { Deposit } from "./deposit.ts";
import { checksumAddress } from "./hex.ts";
import type { Verification } from "./verification.ts";

export interface DepositBody {
  id: string;
  sequence: number;
  status: string;
  reason: string | null;
  merchantId: string;
  userId: string;
  orderNo: string | null;
  chainId: number;
  currency: string | null;
  token: string | null;
  decimals: number | null;
  /** Decimal text in the currency; `null` when the token is not listed, as its decimals are not known then. */
  amount: string | null;
  amountBaseUnits: string;
  amountFrom: AmountSource;
  /** What the Transfer event tells, where `amountFrom` is `balance`. Else `null`. */
  eventAmount: string | null;
  eventAmountBaseUnits: string | null;
  /** How many nodes told the balances that `amount` was measured by; nothing proves one. `null`: not measured. */
  balanceNodes: number | null;
  from: string;
  to: string;
  /** Who sent the transaction; `null` where there is none, or it was not kept yet. */
  sender: string | null;
  txHash: string | null;
  source: string;
  blockNumber: number;
  blockHash: string;
  blockTime: string;
  verification: Verification;
  confirmations: number;
  creditAt: string | null;
  unlockAt: string | null;
  detectedAt: string;
  creditedAt: string | null;
  unlockedAt: string | null;
  /** Of a reversed deposit: what the user no longer had of the amount that was taken back. Else `null`. */
  shortfall: string | null;
  shortfallBaseUnits: string | null;
}

/**
 * @param cursorNumber the chain's cursor at the moment the body speaks of; `confirmations` is the depth there
 */
export function depositBody(deposit: Deposit, cursorNumber: bigint): DepositBody {
  const from = checksumAddress(deposit.from);
  return {
    id: deposit.id,
    sequence: deposit.sequence,
    status: deposit.status,
    reason: deposit.reason,
    merchantId: deposit.merchantId,
    userId: deposit.userId,
    orderNo: deposit.orderNo,
    chainId: deposit.chainId,
    currency: deposit.currency,
    token: deposit.token === null ? null : checksumAddress(deposit.token),
    decimals: deposit.decimals,
    amount: amountText(deposit.amountBaseUnits, deposit.decimals),
    amountBaseUnits: deposit.amountBaseUnits.toString(),
    amountFrom: deposit.eventAmountBaseUnits === null ? "event" : "balance",
    eventAmount: amountText(deposit.eventAmountBaseUnits, deposit.decimals),
    eventAmountBaseUnits: deposit.eventAmountBaseUnits?.toString() ?? null,
    balanceNodes: deposit.balanceNodes,
    from,
    to: checksumAddress(deposit.to),
    sender: senderText(deposit, from),
    txHash: deposit.txHash,
    source: deposit.source,
    blockNumber: Number(deposit.blockNumber),
    blockHash: deposit.blockHash,
    blockTime: rfc3339(deposit.blockTime),
    verification: deposit.verification,
    confirmations: confirmationsOf(deposit, cursorNumber),
    creditAt: deposit.creditAt,
    unlockAt: deposit.unlockAt,
    detectedAt: rfc3339(deposit.detectedAt),
    creditedAt: deposit.creditedAt === null ? null : rfc3339(deposit.creditedAt),
    unlockedAt: deposit.unlockedAt === null ? null : rfc3339(deposit.unlockedAt),
    shortfall: amountText(deposit.shortfallBaseUnits, deposit.decimals),
    shortfallBaseUnits: deposit.shortfallBaseUnits?.toString() ?? null,
  };
}

/** Mostly whose money it is, and then not hashed a second time. */
function senderText({ sender, from }: Deposit, fromText: string): string | null {
  if (sender === null) return null;
  return sender === from ? fromText : checksumAddress(sender);
}

function amountText(baseUnits: bigint | null, decimals: number | null): string | null {
  return baseUnits === null || decimals === null ? null : formatAmount(baseUnits, decimals);
}

/** Depth of the deposit's block; 0 when that block is not on the canonical chain. */
function confirmationsOf(deposit: Deposit, cursorNumber: bigint): number {
  if (deposit.status === "orphaned" || deposit.status === "reversed") return 0;
  return Math.max(0, Number(cursorNumber - deposit.blockNumber) + 1);
}

function rfc3339(time: Date): string {
  return time.toISOString();
}
