/** Finds where another branch parts from ours, by walking its parents until one is a block that we hold. */
import type { BlockHeader } from "../core/chain.ts";
import { TemporaryError } from "../core/errors.ts";
import type { ChainNodes } from "../rpc/chain-nodes.ts";
import type { KeptChain } from "./reconcile.ts";

export type CommonAncestor =
  | {
      readonly tooDeep: false;
      readonly ancestor: BlockHeader;
      /** The other branch's child of the ancestor; `null` when the remote block is on our own branch. */
      readonly first: BlockHeader | null;
    }
  /** The branches part below the kept refs. */
  | { readonly tooDeep: true };

/** What this file asks of the nodes. */
export type AncestorNodes = Pick<ChainNodes, "headerByHash" | "headerByNumber" | "recheckChainId">;

/**
 * Walks from `remote` towards its parents, by hash: numbers could be answered from a third branch by then.
 *
 * A remote far above our cursor is first brought down to the number after it, by number: walking up to a million
 * parents by hash would take hours. The answer is a block of the nodes' branch at this moment, which is all that
 * is wanted. A remote below our cursor (the chain got shorter) is walked from where it is.
 *
 * @returns the highest block of ours that is also an ancestor of the remote one
 * @throws {TemporaryError} `node_answer_invalid` when the branch is gone again before its end was found, or its
 * blocks do not count down; `wrong_chain` when it is of another chain altogether
 */
export async function findCommonAncestor(
  nodes: AncestorNodes,
  local: KeptChain,
  remote: BlockHeader,
  signal?: AbortSignal,
): Promise<CommonAncestor> {
  let block = await lowered(nodes, local, remote, signal);
  let first: BlockHeader | null = null;
  while (local.at(block.number)?.hash !== block.hash) {
    if (block.number <= local.lowest()) return tooDeep(nodes, signal);
    first = block;
    block = await parentOf(nodes, block, signal);
  }
  const ancestor = local.at(block.number);
  return ancestor === undefined ? tooDeep(nodes, signal) : { tooDeep: false, ancestor, first };
}

/** Before a chain is halted for good, make sure that it is the chain at all. */
async function tooDeep(nodes: AncestorNodes, signal?: AbortSignal): Promise<CommonAncestor> {
  await nodes.recheckChainId(signal);
  return { tooDeep: true };
}

async function lowered(
  nodes: AncestorNodes,
  local: KeptChain,
  remote: BlockHeader,
  signal?: AbortSignal,
): Promise<BlockHeader> {
  const next = local.cursor().number + 1n;
  if (remote.number <= next) return remote;
  const header = await nodes.headerByNumber(next, signal);
  if (header === null) throw gone(remote);
  return header;
}

async function parentOf(
  nodes: AncestorNodes,
  block: BlockHeader,
  signal?: AbortSignal,
): Promise<BlockHeader> {
  const parent = await nodes.headerByHash(block.parentHash, signal);
  if (parent === null) throw gone(block);
  if (parent.number !== block.number - 1n) {
    throw new TemporaryError("node_answer_invalid", "A block's parent has not the number before its own", {
      number: block.number,
      hash: block.hash,
      parentNumber: parent.number,
    });
  }
  return parent;
}

function gone(block: BlockHeader): TemporaryError {
  return new TemporaryError(
    "node_answer_invalid",
    "A branch was gone before its parting from ours was found",
    {
      number: block.number,
      hash: block.hash,
    },
  );
}
