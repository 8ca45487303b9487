/**
 * Fetches a range of blocks, several at once, and hands them out in order.
 *
 * Memory is bounded: at most `concurrency` blocks are under way or waiting to be handed out, so a slow consumer
 * slows the fetching. The first failure ends it and cancels the rest; nothing is ever skipped.
 */
import { setMaxListeners } from "node:events";
import { TemporaryError } from "../core/errors.ts";
import type { ChainNodes } from "../rpc/chain-nodes.ts";
import type { FetchedBlock } from "../rpc/fetched-block.ts";

export interface FetchAheadOptions {
  readonly from: bigint;
  /** Included. */
  readonly to: bigint;
  readonly concurrency: number;
  readonly signal?: AbortSignal;
}

/**
 * Each block is the child of the one handed out before it. Whether the first is the child of anything is for
 * the caller to see.
 *
 * @throws {TemporaryError} `node_answer_invalid` when a block is not the child of the one before: the chain
 * moved to another branch meanwhile, or a node lies. Look at the head again.
 */
export async function* fetchAhead(
  nodes: Pick<ChainNodes, "blockByNumber">,
  options: FetchAheadOptions,
): AsyncGenerator<FetchedBlock, void, undefined> {
  const { from, to, concurrency, signal } = options;
  const cancel = new AbortController();
  const either = signal === undefined ? cancel.signal : AbortSignal.any([signal, cancel.signal]);
  setMaxListeners(0, either);

  const underWay: Promise<FetchedBlock>[] = [];
  let next = from;
  const fill = () => {
    while (next <= to && underWay.length < concurrency) {
      const fetching = nodes.blockByNumber(next, either);
      // Its failure is thrown when its turn comes; until then, or after a cancel, nobody waits for it.
      fetching.catch(() => undefined);
      underWay.push(fetching);
      next += 1n;
    }
  };

  try {
    let before: FetchedBlock | undefined;
    for (;;) {
      fill();
      const fetching = underWay.shift();
      if (fetching === undefined) return;
      const block = await fetching;
      if (before !== undefined) expectChild(before, block);
      before = block;
      fill(); // while the caller is busy with this one
      yield block;
    }
  } finally {
    cancel.abort();
  }
}

function expectChild(parent: FetchedBlock, block: FetchedBlock): void {
  if (block.header.parentHash === parent.header.hash) return;
  throw new TemporaryError(
    "node_answer_invalid",
    "Blocks that were fetched together are of different branches",
    {
      number: block.header.number,
      hash: block.header.hash,
      parentHash: block.header.parentHash,
      expectedParentHash: parent.header.hash,
    },
  );
}
