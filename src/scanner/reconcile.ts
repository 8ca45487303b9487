/** Compares a node's head with our own chain. Pure: it decides what the head means, not what to do. */
import type { BlockHeader } from "../core/chain.ts";

/** Our own chain, as far as its block refs are kept. */
export interface KeptChain {
  /** The block at the cursor. */
  cursor(): BlockHeader;
  /** The block at a number on our branch, if its ref is kept. */
  at(number: bigint): BlockHeader | undefined;
  /** The lowest number whose ref is kept. */
  lowest(): bigint;
}

/**
 * Every head is one of five cases:
 *
 * - `same`    it is the block at our cursor: nothing to do.
 * - `behind`  a lower number. `isKnown`: it is our own block there, so the node lags behind; waiting is right,
 *             undoing would be a false reorg. Not `isKnown`: it is below the kept refs, where no hash can be
 *             compared, and older than they are, as a node that lags far behind would have it.
 * - `next`    the child of the block at our cursor.
 * - `gap`     more than one above our cursor. Whether it is on our branch shows when the blocks between are fetched.
 * - `reorg`   another block where we have one, or the next number with another parent; or a block below the kept
 *             refs that is younger than they are. No ancestor is younger than its descendants: this chain has
 *             started anew, or has left our branch below all that is kept.
 *
 * A chain that got shorter and whose head is our own block looks like a lagging node, and is treated as one until
 * it grows differently: nothing is deeper than it was, so nothing is credited meanwhile.
 */
export type Reconciliation =
  | { readonly case: "same" }
  | { readonly case: "behind"; readonly isKnown: boolean }
  | { readonly case: "next" }
  | { readonly case: "gap"; readonly missing: bigint }
  | { readonly case: "reorg" };

export function reconcile(local: KeptChain, head: BlockHeader): Reconciliation {
  const cursor = local.cursor();
  if (head.number > cursor.number + 1n) return { case: "gap", missing: head.number - cursor.number };
  if (head.number === cursor.number + 1n) {
    return head.parentHash === cursor.hash ? { case: "next" } : { case: "reorg" };
  }
  const ours = head.number === cursor.number ? cursor : local.at(head.number);
  if (ours === undefined)
    return isTooYoung(local, head) ? { case: "reorg" } : { case: "behind", isKnown: false };
  if (ours.hash !== head.hash) return { case: "reorg" };
  return head.number === cursor.number ? { case: "same" } : { case: "behind", isKnown: true };
}

function isTooYoung(local: KeptChain, head: BlockHeader): boolean {
  const lowest = local.at(local.lowest());
  return lowest !== undefined && head.number < lowest.number && head.timestamp > lowest.timestamp;
}
