/** A seen payment as programs outside see it: as much of a deposit's shape as there is before a block holds it. */
import { formatAmount } from "./amount.ts";
import type { DepositBody } from "./deposit-body.ts";
import { checksumAddress } from "./hex.ts";
import type { SeenPayment, SeenStatus } from "./seen-payment.ts";

/** What it has in common with a deposit. */
type SharedKeys =
  | "id"
  | "sequence"
  | "reason"
  | "merchantId"
  | "userId"
  | "orderNo"
  | "chainId"
  | "token"
  | "amountBaseUnits"
  | "from"
  | "to"
  | "source"
  | "confirmations"
  | "creditAt"
  | "unlockAt"
  | "detectedAt"
  | "creditedAt"
  | "unlockedAt";

export interface SeenPaymentBody extends Pick<DepositBody, SharedKeys> {
  currency: string;
  decimals: number;
  amount: string;
  status: SeenStatus;
  txHash: string;
  /** Always `null`: a seen payment is in no block; `minedIn` says where it went. */
  blockNumber: null;
  blockHash: null;
  blockTime: null;
  verification: "none";
  sender: string;
  nonce: string;
  changedAt: string;
  replacedBy: string | null;
  minedIn: { blockNumber: number; blockHash: string; depositIds: string[] } | null;
}

export function seenPaymentBody(seen: SeenPayment): SeenPaymentBody {
  return {
    id: seen.id,
    sequence: seen.sequence,
    status: seen.status,
    reason: null,
    merchantId: seen.merchantId,
    userId: seen.userId,
    orderNo: seen.orderNo,
    chainId: seen.chainId,
    currency: seen.currency,
    token: seen.token === null ? null : checksumAddress(seen.token),
    decimals: seen.decimals,
    amount: formatAmount(seen.amountBaseUnits, seen.decimals),
    amountBaseUnits: seen.amountBaseUnits.toString(),
    from: checksumAddress(seen.from),
    to: checksumAddress(seen.to),
    txHash: seen.txHash,
    source: seen.source,
    blockNumber: null,
    blockHash: null,
    blockTime: null,
    // Nothing proves what waits: a node's word is all there is.
    verification: "none",
    // Depth is counted for deposits; this never has any.
    confirmations: 0,
    creditAt: seen.creditAt,
    unlockAt: seen.unlockAt,
    detectedAt: seen.detectedAt.toISOString(),
    creditedAt: null,
    unlockedAt: null,
    sender: checksumAddress(seen.sender),
    nonce: seen.nonce.toString(),
    changedAt: seen.changedAt.toISOString(),
    replacedBy: seen.replacedBy,
    minedIn:
      seen.block === null
        ? null
        : {
            blockNumber: Number(seen.block.number),
            blockHash: seen.block.hash,
            depositIds: [...seen.depositIds],
          },
  };
}
