/**
 * Reads whole blocks in order, with what they move. Where many are behind, threads share the work; what their blocks
 * prove is judged here, by the same verifier as all other blocks of the chain, and a block that a thread could not get
 * or that is refused is asked of the nodes from here: they try again, ask each other, and keep the record.
 */
import type { BlockHeader, BlockTransfers } from "../core/chain.ts";
import { AnswerRefused } from "../rpc/answer.ts";
import { type FetchAheadOptions, fetchAhead } from "../scanner/fetch-ahead.ts";
import type { ClaimedBlock } from "./fetch-messages.ts";
import type { FetchThreads } from "./fetch-threads.ts";
import type { FollowerParts } from "./follower-parts.ts";
import { packedList } from "./pack-transfers.ts";
import { type BlockReading, readBlock } from "./read-block.ts";

/** Below this many blocks threads are not worth their start. */
const WORTH_THREADS = 200n;

export interface BlockReaderParts extends Pick<FollowerParts, "threads"> {
  readonly nodes: Pick<FollowerParts["nodes"], "backfill" | "verification">;
  readonly chain: Pick<FollowerParts["chain"], "internal">;
  readonly ingest: Pick<FollowerParts["ingest"], "nativeSource" | "watch">;
}

/**
 * As `fetchAhead`. Of each block what may move to a watched address is kept; where more is wanted of one, because an
 * address was registered after it was read, its `transfers` throw `TransferNotKept`.
 */
export function readBlocks(
  parts: BlockReaderParts,
  options: FetchAheadOptions & { readonly signal: AbortSignal },
): AsyncGenerator<BlockTransfers, void, undefined> {
  const { threads } = parts;
  const isWorthThreads = options.to - options.from >= WORTH_THREADS;
  const reading: BlockReading = {
    nodes: parts.nodes.backfill,
    nativeSource: parts.ingest.nativeSource,
    internal: parts.chain.internal,
    table: parts.ingest.watch.table,
  };
  let underWayHere = 0;
  const here = async (number: bigint, signal: AbortSignal) => {
    underWayHere += 1;
    try {
      return await readHere(reading, number, signal);
    } finally {
      underWayHere -= 1;
    }
  };
  // Whoever has least under way takes the next one: this thread has to commit them too, and gets fewer.
  const share = async (helpers: FetchThreads, number: bigint, signal: AbortSignal) => {
    if (underWayHere < helpers.leastUnderWay()) return here(number, signal);
    return (await readByThread(parts, helpers, number, signal)) ?? here(number, signal);
  };
  const read = threads === undefined || !isWorthThreads ? here : share.bind(null, threads);
  const source = {
    blockByNumber: async (number: bigint, signal = options.signal) => withHeader(await read(number, signal)),
  };
  return fetchAhead(source, options, ({ extracted }) => extracted);
}

interface WithHeader {
  readonly header: BlockHeader;
  readonly extracted: BlockTransfers;
}

function withHeader(extracted: BlockTransfers): WithHeader {
  return { header: extracted.block, extracted };
}

async function readHere(reading: BlockReading, number: bigint, signal: AbortSignal): Promise<BlockTransfers> {
  const { header, verification, transfers } = await readBlock(reading, number, signal);
  return { block: header, verification, transfers: packedList(transfers) };
}

/** `null` when no thread could get it, or what it got is refused. */
async function readByThread(
  { nodes, ingest }: BlockReaderParts,
  threads: FetchThreads,
  number: bigint,
  signal: AbortSignal,
): Promise<BlockTransfers | null> {
  await nodes.verification.ready(signal);
  const fetched = await threads.fetch(number, ingest.watch.table.shared(), signal);
  return fetched === null ? null : judged(nodes, fetched);
}

function judged(
  { verification }: Pick<BlockReaderParts["nodes"], "verification">,
  { header, transfers, claim }: ClaimedBlock,
): BlockTransfers | null {
  try {
    const level = verification.judge(claim.node, header.number, claim.proof);
    return { block: header, verification: level, transfers: packedList(transfers) };
  } catch (rawError) {
    // The refusal is counted; the nodes are asked once more, and the one that tells the same is remembered for it.
    if (rawError instanceof AnswerRefused) return null;
    throw rawError;
  }
}
