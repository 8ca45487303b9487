/** What becomes of a pending transfer to a watched address. Pure. */
import { seenPaymentId } from "../core/deposit-id.ts";
import type { PendingTransfer } from "../core/seen-payment.ts";
import { type DepositRules, ignoreReason, type ThresholdRules } from "./judge-transfer.ts";

/** A seen payment not yet in the database; whose it is, the database knows. */
export interface JudgedPending {
  readonly id: string;
  readonly transfer: PendingTransfer;
  readonly assetId: number;
  readonly creditAt: string;
  readonly unlockAt: string;
}

/** `null` for what would be an ignored deposit: it is not worth a notice while it is not even in a block. */
export function judgePending(
  transfer: PendingTransfer,
  rules: DepositRules,
  thresholds: ThresholdRules,
): JudgedPending | null {
  const asset = rules.assets.get(transfer.token);
  if (asset === undefined || ignoreReason(asset, transfer, rules) !== null) return null;
  const band = thresholds.bandFor(asset, transfer.amountBaseUnits);
  return {
    id: seenPaymentId(rules.chainId, transfer.txHash, transfer.source),
    transfer,
    assetId: asset.id,
    creditAt: thresholds.thresholdText(band.credit),
    unlockAt: thresholds.thresholdText(band.unlock),
  };
}
