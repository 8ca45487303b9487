/**
 * `safe` and `finalized` as far as they speak of our own branch. A tag is believed only when it does not
 * disagree with a block we hold: a node on another branch must not make our deposits final.
 */
import type { BlockHeader, FinalityTag } from "../core/chain.ts";
import type { ChainNodes } from "../rpc/chain-nodes.ts";
import type { LocalChain } from "./local-chain.ts";

type TagNodes = Pick<ChainNodes, "tag" | "headerByNumber">;
type KeptBlocks = Pick<LocalChain, "cursor" | "at">;

export interface EffectiveTags {
  readonly safeNumber: bigint | null;
  readonly finalizedNumber: bigint | null;
}

export async function effectiveTags(
  nodes: TagNodes,
  local: KeptBlocks,
  signal: AbortSignal,
): Promise<EffectiveTags> {
  const [safeNumber, finalizedNumber] = await Promise.all([
    effectiveTag(nodes, local, "safe", signal),
    effectiveTag(nodes, local, "finalized", signal),
  ]);
  return { safeNumber, finalizedNumber };
}

async function effectiveTag(
  nodes: TagNodes,
  local: KeptBlocks,
  tag: FinalityTag,
  signal: AbortSignal,
): Promise<bigint | null> {
  const header = await nodes.tag(tag, signal);
  if (header === null) return null;
  const cursor = local.cursor();
  if (header.number <= cursor.number) return isOnOurBranch(local, header) ? header.number : null;
  // The tag is ahead of us (we are catching up): our cursor is as final, if the node has it too.
  const theirs = await nodes.headerByNumber(cursor.number, signal);
  return theirs?.hash === cursor.hash ? cursor.number : null;
}

/** A number whose ref is no longer kept is deeper than any reorg we would undo. */
function isOnOurBranch(local: KeptBlocks, header: BlockHeader): boolean {
  const ours = local.at(header.number);
  return ours === undefined || ours.hash === header.hash;
}
