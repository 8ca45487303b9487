/**
 * Is it deep enough? Pure rules. A block at the cursor has depth 1, so a threshold of N is met when the cursor
 * stands at `block + N − 1`: exactly N confirmations, neither one more nor one less.
 */
import type { Asset, PolicyBand, Threshold } from "../core/asset.ts";
import { FINALITY_TAGS, type FinalityTag } from "../core/chain.ts";

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

/**
 * The threshold that `thresholdText` wrote.
 *
 * @throws {RangeError} for any other text
 */
export function parseThreshold(text: string): Threshold {
  const [, depthText, tagText] = /^(\d+)?(?: and )?([a-z]+)?$/.exec(text) ?? [];
  const tag = FINALITY_TAGS.find((each) => each === tagText) ?? null;
  const depth = depthText === undefined ? null : Number(depthText);
  if (depth !== null) return { depth, tag };
  if (tag !== null) return { depth, tag };
  throw new RangeError(`${JSON.stringify(text)} is no threshold`);
}

/** Up to which block each kind of threshold is met. `null`: the tag is not known. */
export interface ReachedBlocks {
  readonly cursorNumber: bigint;
  readonly safeNumber: bigint | null;
  readonly finalizedNumber: bigint | null;
}

export function isDepthMet(threshold: Threshold, blockNumber: bigint, reached: ReachedBlocks): boolean {
  const due = dueBlock(threshold, blockNumber);
  return due === null || due <= reached.cursorNumber;
}

export function isTagMet(threshold: Threshold, blockNumber: bigint, reached: ReachedBlocks): boolean {
  if (threshold.tag === null) return true;
  const tagNumber = threshold.tag === "safe" ? reached.safeNumber : reached.finalizedNumber;
  return tagNumber !== null && tagNumber >= blockNumber;
}

export function isMet(threshold: Threshold, blockNumber: bigint, reached: ReachedBlocks): boolean {
  return isDepthMet(threshold, blockNumber, reached) && isTagMet(threshold, blockNumber, reached);
}

/** The tags that some asset's policy waits for. */
export function tagsWaitedFor(assets: readonly Asset[]): FinalityTag[] {
  const bands = assets.flatMap((asset) => asset.policy);
  const tags = bands.flatMap((band) => [band.credit.tag, band.unlock.tag]);
  return [...new Set(tags)].filter((tag) => tag !== null);
}
