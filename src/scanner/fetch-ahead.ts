/**
 * Fetches a range of blocks, several at once, and hands them out in order.
 *
 * Memory is bounded: at most `concurrency` blocks are under way or waiting to be handed out, so a slow consumer
 * slows the fetching. The first failure ends it and cancels the rest; nothing is ever skipped.
 */
import { setMaxListeners } from "node:events";
import type { BlockHeader } from "../core/chain.ts";
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
 * @param take what is wanted of a block, taken as soon as it is fetched: what waits for its turn is then a few
 * transfers, not megabytes of a whole block
 * @throws {TemporaryError} `node_answer_invalid` when a block is not the child of the one before: the chain
 * moved to another branch meanwhile, or a node lies. Look at the head again.
 */
export async function* fetchAhead<Taken>(
  nodes: Pick<ChainNodes, "blockByNumber">,
  options: FetchAheadOptions,
  take: (block: FetchedBlock) => Taken,
): AsyncGenerator<Taken, void, undefined> {
  const { from, to, concurrency, signal } = options;
  const cancel = new AbortController();
  const either = signal === undefined ? cancel.signal : AbortSignal.any([signal, cancel.signal]);
  setMaxListeners(0, either);

  const underWay: Promise<TakenBlock<Taken>>[] = [];
  let next = from;
  const fill = () => {
    while (next <= to && underWay.length < concurrency) {
      const fetching = fetchOne(nodes, next, take, either);
      // Its failure is thrown when its turn comes; until then, or after a cancel, nobody waits for it.
      fetching.catch(() => undefined);
      underWay.push(fetching);
      next += 1n;
    }
  };

  try {
    let before: BlockHeader | undefined;
    for (;;) {
      fill();
      const fetching = underWay.shift();
      if (fetching === undefined) return;
      const { header, taken } = await fetching;
      if (before !== undefined) expectChild(before, header);
      before = header;
      fill(); // while the caller is busy with this one
      yield taken;
    }
  } finally {
    cancel.abort();
  }
}

interface TakenBlock<Taken> {
  readonly header: BlockHeader;
  readonly taken: Taken;
}

async function fetchOne<Taken>(
  nodes: Pick<ChainNodes, "blockByNumber">,
  number: bigint,
  take: (block: FetchedBlock) => Taken,
  signal: AbortSignal,
): Promise<TakenBlock<Taken>> {
  const block = await nodes.blockByNumber(number, signal);
  return { header: block.header, taken: take(block) };
}

function expectChild(parent: BlockHeader, header: BlockHeader): void {
  if (header.parentHash === parent.hash) return;
  throw new TemporaryError(
    "node_answer_invalid",
    "Blocks that were fetched together are of different branches",
    {
      number: header.number,
      hash: header.hash,
      parentHash: header.parentHash,
      expectedParentHash: parent.hash,
    },
  );
}
