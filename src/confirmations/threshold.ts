/**
 * Is it deep enough? Pure rules. A block at the cursor has depth 1, so a threshold of N is met when the cursor
 * stands at `block + N − 1`: exactly N confirmations, neither one more nor one less.
 */
import type { Asset, PolicyBand, Threshold } from "../core/asset.ts";

/** The band that holds for an amount: the first whose limit is not exceeded. */
export function bandFor(asset: Asset, amountBaseUnits: bigint): PolicyBand {
  const band = asset.policy.find(
    (each) => each.upToBaseUnits === null || amountBaseUnits <= each.upToBaseUnits,
  );
  if (band === undefined) throw new RangeError(`The policy of ${asset.currency} has no last band`);
  return band;
}

/** The cursor at which the threshold's depth is met; `null` when it asks for none. */
export function dueBlock(threshold: Threshold, blockNumber: bigint): bigint | null {
  return threshold.depth === null ? null : blockNumber + BigInt(threshold.depth) - 1n;
}

/** As people read it: `"12"`, `"finalized"`, `"12 and safe"`. */
export function thresholdText(threshold: Threshold): string {
  if (threshold.depth === null) return threshold.tag;
  return threshold.tag === null ? String(threshold.depth) : `${threshold.depth} and ${threshold.tag}`;
}
