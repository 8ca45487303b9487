/** What becomes of a transfer to a watched address when it is seen. Pure. */
import type { KnownAsset, Threshold } from "../core/asset.ts";
import type { BlockHeader, FinalityTag, Transfer } from "../core/chain.ts";
import type { IgnoreReason } from "../core/deposit.ts";
import { depositId } from "../core/deposit-id.ts";
import type { Address } from "../core/hex.ts";
import type { Verification } from "../core/verification.ts";

/** The assets of one chain, by token; the native coin under `null`. */
export type AssetsByToken = ReadonlyMap<Address | null, KnownAsset>;

/** A threshold as a deposit keeps it. */
export interface StoredThreshold {
  readonly text: string;
  readonly dueBlock: bigint | null;
  readonly tag: FinalityTag | null;
}

/** A transfer to a watched address, and where it was seen. */
export interface MatchedTransfer {
  readonly transfer: Transfer;
  readonly block: BlockHeader;
  readonly verification: Verification;
}

/** A deposit not yet in the database; whose it is, the database knows. */
export interface SeenDeposit extends MatchedTransfer {
  readonly id: string;
  readonly assetId: number | null;
  readonly status: "pending" | "ignored";
  readonly reason: IgnoreReason | null;
  /** What the event tells, where the recipient's balance is what counts: it is to be measured before any credit. */
  readonly eventAmountBaseUnits: bigint | null;
  readonly credit: StoredThreshold | null;
  readonly unlock: StoredThreshold | null;
}

/** How a threshold of the policy is stored; the confirmations stage provides it. */
export interface ThresholdRules {
  bandFor(asset: KnownAsset, amountBaseUnits: bigint): { credit: Threshold; unlock: Threshold };
  dueBlock(threshold: Threshold, blockNumber: bigint): bigint | null;
  thresholdText(threshold: Threshold): string;
}

/** What a chain's config says of its deposits. */
export interface DepositRules {
  readonly chainId: number;
  readonly assets: AssetsByToken;
  readonly ownWallets: ReadonlySet<Address>;
}

export function judgeTransfer(
  matched: MatchedTransfer,
  rules: DepositRules,
  thresholds: ThresholdRules,
): SeenDeposit {
  const { transfer, block } = matched;
  const id = depositId(rules.chainId, transfer.txHash, transfer.source);
  const asset = rules.assets.get(transfer.token);
  const reason = ignoreReason(asset, transfer, rules);
  if (asset === undefined || reason !== null) {
    return {
      ...matched,
      id,
      assetId: asset?.id ?? null,
      status: "ignored",
      reason,
      eventAmountBaseUnits: null,
      credit: null,
      unlock: null,
    };
  }
  const band = thresholds.bandFor(asset, transfer.amountBaseUnits);
  const isMeasured = asset.amountFrom === "balance";
  const stored = (threshold: Threshold): StoredThreshold => ({
    text: thresholds.thresholdText(threshold),
    dueBlock: isMeasured ? null : thresholds.dueBlock(threshold, block.number),
    tag: isMeasured ? null : threshold.tag,
  });
  return {
    ...matched,
    id,
    assetId: asset.id,
    status: "pending",
    reason: null,
    eventAmountBaseUnits: isMeasured ? transfer.amountBaseUnits : null,
    credit: stored(band.credit),
    unlock: stored(band.unlock),
  };
}

/**
 * The merchant's own money first: a gas top-up is one, however small and whatever the token. What an address sends to
 * itself brings nothing to it: whoever holds its key could be credited the same coin again and again.
 */
export function ignoreReason(
  asset: KnownAsset | undefined,
  transfer: Pick<Transfer, "from" | "to" | "amountBaseUnits">,
  rules: Pick<DepositRules, "ownWallets">,
): IgnoreReason | null {
  if (rules.ownWallets.has(transfer.from) || transfer.from === transfer.to) return "own_transfer";
  if (asset === undefined) return "unlisted_asset";
  return transfer.amountBaseUnits < asset.minimumBaseUnits ? "below_minimum" : null;
}
