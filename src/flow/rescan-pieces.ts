/**
 * The blocks of a range, in pieces to be recorded at once. It goes the way of catching up: ranges of logs where the
 * chain allows it, whole blocks elsewhere.
 */
import { lowerOf } from "../core/block-number.ts";
import type { BlockTransfers } from "../core/chain.ts";
import { extractTransfers } from "../matcher/extract-transfers.ts";
import type { BackfillQuestions } from "../rpc/chain-nodes.ts";
import type { FetchedBlock } from "../rpc/fetched-block.ts";
import type { ChainConfig } from "../runtime/config/config.ts";
import { fetchAhead } from "../scanner/fetch-ahead.ts";
import { findLoggedRange, type LogFilter } from "../scanner/logged-range.ts";
import { createRangeSize } from "../scanner/range-size.ts";
import type { IngestContext } from "./ingest-block.ts";
import { loadWatchFilter, logWitnesses, pastEnds, tokensOf } from "./log-filter.ts";
import type { RescanRange } from "./rescan.ts";

export interface PieceParts {
  readonly context: IngestContext;
  readonly chain: Pick<ChainConfig, "fetchConcurrency" | "backfill" | "assets" | "nodes" | "reorgWindow">;
  readonly nodes: Pick<BackfillQuestions, "blockByNumber" | "logs" | "tag">;
  readonly signal?: AbortSignal;
}

export interface Piece {
  /** The last block that the piece speaks of. */
  readonly upTo: bigint;
  /** Those of its blocks that were read; the others hold nothing that is looked for. */
  readonly blocks: readonly BlockTransfers[];
}

const BLOCKS_PER_BATCH = 100;
/** Read as whole blocks where logs did not lead on, before they are tried again. */
const BLOCKS_WITHOUT_LOGS = 1_000n;
/** Of single addresses; more are looked for in whole blocks. */
const MAX_ADDRESSES = 1_000;

export async function* readPieces(
  parts: PieceParts,
  range: RescanRange,
  cursorNumber: bigint,
): AsyncGenerator<Piece> {
  const logs = await planLogs(parts, range, cursorNumber);
  let next = range.from;
  while (logs !== undefined && next <= logs.to) {
    const found = await findLoggedRange(logs.parts, logs.filter, next, logs.to);
    if (found.kind === "found") {
      yield { upTo: found.end.number, blocks: found.taken };
      next = found.end.number + 1n;
    } else {
      const to = lowerOf(next + BLOCKS_WITHOUT_LOGS - 1n, logs.to);
      yield* wholeBlocks(parts, next, to);
      next = to + 1n;
    }
  }
  yield* wholeBlocks(parts, next, range.to);
}

async function planLogs(parts: PieceParts, range: RescanRange, cursorNumber: bigint) {
  const { chain, nodes, context, signal } = parts;
  const witnesses = logWitnesses(chain);
  if (witnesses === undefined) return undefined;
  const { lastLogged } = await pastEnds(nodes, chain, cursorNumber, signal);
  const filter = await filterOf(parts, range);
  if (lastLogged === null || filter === undefined) return undefined;
  return {
    to: lowerOf(lastLogged, range.to),
    filter,
    parts: {
      nodes,
      witnesses,
      size: createRangeSize(),
      concurrency: chain.fetchConcurrency,
      take: (block: FetchedBlock) => extractTransfers(block, context.nativeSource),
      ...(signal === undefined ? {} : { signal }),
    },
  };
}

async function filterOf(
  { chain, context }: PieceParts,
  { only }: RescanRange,
): Promise<LogFilter | undefined> {
  if (only === undefined) return loadWatchFilter(context.database, chain, context.watch);
  return only.size > MAX_ADDRESSES ? undefined : { tokens: tokensOf(chain), recipients: [...only.keys()] };
}

async function* wholeBlocks(parts: PieceParts, from: bigint, to: bigint): AsyncGenerator<Piece> {
  const { context, nodes, chain, signal } = parts;
  const options = {
    from,
    to,
    concurrency: chain.fetchConcurrency,
    ...(signal === undefined ? {} : { signal }),
  };
  const fetched = fetchAhead(nodes, options, (block) => extractTransfers(block, context.nativeSource));
  let blocks: BlockTransfers[] = [];
  for await (const each of fetched) {
    blocks.push(each);
    if (blocks.length < BLOCKS_PER_BATCH) continue;
    yield { upTo: each.block.number, blocks };
    blocks = [];
  }
  if (blocks.length > 0) yield { upTo: to, blocks };
}
