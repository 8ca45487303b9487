/**
 * Fetches blocks, several at once, and hands them out in order.
 *
 * Memory is bounded: at most `concurrency` blocks are under way, and together with those that wait to be handed out
 * at most four times as many, so that one slow block does not hold up the others but a slow consumer slows the
 * fetching. The first failure ends it and cancels the rest; nothing is ever skipped.
 */
import { setMaxListeners } from "node:events";
import type { BlockHeader } from "../core/chain.ts";
import { TemporaryError } from "../core/errors.ts";

export interface FetchOptions {
  readonly concurrency: number;
  readonly signal?: AbortSignal;
}

export interface FetchAheadOptions extends FetchOptions {
  readonly from: bigint;
  /** Included. */
  readonly to: bigint;
}

/** The nodes of a chain, or whoever fetches for them. */
export interface BlockSource<Block extends WithHeader> {
  blockByNumber(number: bigint, signal?: AbortSignal): Promise<Block>;
}

interface WithHeader {
  readonly header: BlockHeader;
}

/**
 * Fetches a range. Each block is the child of the one handed out before it. Whether the first is the child of
 * anything is for the caller to see.
 *
 * @param take what is wanted of a block, taken as soon as it is fetched: what waits for its turn is then a few
 * transfers, not megabytes of a whole block
 * @throws {TemporaryError} `node_answer_invalid` when a block is not the child of the one before: the chain
 * moved to another branch meanwhile, or a node lies. Look at the head again.
 */
export async function* fetchAhead<Block extends WithHeader, Taken>(
  nodes: BlockSource<Block>,
  options: FetchAheadOptions,
  take: (block: Block) => Taken,
): AsyncGenerator<Taken, void, undefined> {
  const withHeader = (block: Block) => ({ header: block.header, taken: take(block) });
  let before: BlockHeader | undefined;
  for await (const { header, taken } of fetchEach(nodes, numbersOf(options), options, withHeader)) {
    if (before !== undefined) expectChild(before, header);
    before = header;
    yield taken;
  }
}

function* numbersOf({ from, to }: FetchAheadOptions): Generator<bigint> {
  for (let number = from; number <= to; number += 1n) yield number;
}

/** Under way or waiting, to each that may be under way. */
const WAITING_RATIO = 4;

/** Fetches the blocks of these numbers, whatever lies between them. */
export async function* fetchEach<Block extends WithHeader, Taken>(
  nodes: BlockSource<Block>,
  numbers: Iterable<bigint>,
  options: FetchOptions,
  take: (block: Block) => Taken,
): AsyncGenerator<Taken, void, undefined> {
  const { concurrency, signal } = options;
  const cancel = new AbortController();
  const either = signal === undefined ? cancel.signal : AbortSignal.any([signal, cancel.signal]);
  setMaxListeners(0, either);

  const inOrder: Promise<Taken>[] = [];
  const waiting = numbers[Symbol.iterator]();
  let underWay = 0;
  const fetchOne = async (number: bigint): Promise<Taken> => {
    underWay += 1;
    try {
      return take(await nodes.blockByNumber(number, either));
    } finally {
      underWay -= 1;
    }
  };
  const fill = () => {
    while (underWay < concurrency && inOrder.length < concurrency * WAITING_RATIO && !cancel.signal.aborted) {
      const next = waiting.next();
      if (next.done === true) return;
      const fetching = fetchOne(next.value);
      // Its failure is thrown when its turn comes; until then, or after a cancel, nobody waits for it.
      fetching.then(fill, () => undefined);
      inOrder.push(fetching);
    }
  };

  try {
    for (;;) {
      fill();
      const fetching = inOrder.shift();
      if (fetching === undefined) return;
      const taken = await fetching;
      fill(); // while the caller is busy with this one
      yield taken;
    }
  } finally {
    cancel.abort();
  }
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
