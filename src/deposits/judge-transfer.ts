/** What becomes of a transfer to a watched address when it is seen. Pure. */
import type { KnownAsset, Threshold } from "../core/asset.ts";
import type { BlockHeader, FinalityTag, Transfer } from "../core/chain.ts";
import type { IgnoreReason } from "../core/deposit.ts";
import { depositId } from "../core/deposit-id.ts";
import type { Address } from "../core/hex.ts";

/** The assets of one chain, by token; the native coin under `null`. */
export type AssetsByToken = ReadonlyMap<Address | null, KnownAsset>;

/** A threshold as a deposit keeps it. */
export interface StoredThreshold {
  readonly text: string;
  readonly dueBlock: bigint | null;
  readonly tag: FinalityTag | null;
}

/** A deposit not yet in the database; whose it is, the database knows. */
export interface SeenDeposit {
  readonly id: string;
  readonly transfer: Transfer;
  readonly block: BlockHeader;
  readonly assetId: number | null;
  readonly status: "pending" | "ignored";
  readonly reason: IgnoreReason | null;
  readonly credit: StoredThreshold | null;
  readonly unlock: StoredThreshold | null;
}

/** How a threshold of the policy is stored; the confirmations stage provides it. */
export interface ThresholdRules {
  bandFor(asset: KnownAsset, amountBaseUnits: bigint): { credit: Threshold; unlock: Threshold };
  dueBlock(threshold: Threshold, blockNumber: bigint): bigint | null;
  thresholdText(threshold: Threshold): string;
}

export function judgeTransfer(
  chainId: number,
  transfer: Transfer,
  block: BlockHeader,
  assets: AssetsByToken,
  rules: ThresholdRules,
): SeenDeposit {
  const id = depositId(chainId, transfer.txHash, transfer.source);
  const asset = assets.get(transfer.token);
  const reason = ignoreReason(asset, transfer);
  if (asset === undefined || reason !== null) {
    return {
      id,
      transfer,
      block,
      assetId: asset?.id ?? null,
      status: "ignored",
      reason,
      credit: null,
      unlock: null,
    };
  }
  const band = rules.bandFor(asset, transfer.amountBaseUnits);
  const stored = (threshold: Threshold): StoredThreshold => ({
    text: rules.thresholdText(threshold),
    dueBlock: rules.dueBlock(threshold, block.number),
    tag: threshold.tag,
  });
  return {
    id,
    transfer,
    block,
    assetId: asset.id,
    status: "pending",
    reason: null,
    credit: stored(band.credit),
    unlock: stored(band.unlock),
  };
}

function ignoreReason(asset: KnownAsset | undefined, transfer: Transfer): IgnoreReason | null {
  if (asset === undefined) return "unlisted_asset";
  return transfer.amountBaseUnits < asset.minimumBaseUnits ? "below_minimum" : null;
}
