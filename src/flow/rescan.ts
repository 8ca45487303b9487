/**
 * Ingests blocks again that the cursor has passed: for an address registered after its deposit, or to make sure.
 * What stands already is left alone, so a rescan may be repeated and may overlap with anything.
 */
import type { BlockTransfers, Transfer } from "../core/chain.ts";
import type { Deposit } from "../core/deposit.ts";
import { InputError, TemporaryError } from "../core/errors.ts";
import type { Address } from "../core/hex.ts";
import type { Sql } from "../db/database.ts";
import { judgeTransfer, type MatchedTransfer } from "../deposits/judge-transfer.ts";
import { extractTransfers } from "../matcher/extract-transfers.ts";
import type { ChainNodes } from "../rpc/chain-nodes.ts";
import { getChainState, listBlockRefs } from "../scanner/chain-store.ts";
import { fetchAhead } from "../scanner/fetch-ahead.ts";
import {
  type IngestContext,
  type Ingested,
  matchBlocks,
  matchedIn,
  recordSeen,
  thresholdRules,
} from "./ingest-block.ts";

export interface RescanRange {
  readonly from: bigint;
  /** Included; what lies above the cursor is left to the follower. */
  readonly to: bigint;
  /** Only these addresses, each in its own blocks; all watched ones in all blocks if it is not given. */
  readonly only?: AddressSpans | undefined;
}

/** In which blocks an address is looked for, both ends included. */
export type AddressSpans = ReadonlyMap<Address, { readonly from: bigint; readonly to: bigint }>;

export interface RescanParts {
  readonly context: IngestContext;
  readonly nodes: Pick<ChainNodes, "blockByNumber">;
  readonly fetchConcurrency: number;
  readonly signal?: AbortSignal;
  readonly onProgress?: (scanned: number, total: number) => void;
  /** In the transaction of each batch: what has to be kept with it. `upTo` is the last block of the batch. */
  readonly keepWith?: (tx: Sql, upTo: bigint) => Promise<void>;
  /** After the commit of each batch. */
  readonly onRecorded?: (recorded: Ingested) => Promise<void>;
}

export interface Rescanned {
  readonly blockCount: number;
  /** New, or included again. */
  readonly deposits: readonly Deposit[];
}

const BLOCKS_PER_BATCH = 100;

/** @throws {InputError} `invalid_request` when the range holds no block that the cursor has passed */
export async function rescan(parts: RescanParts, range: RescanRange): Promise<Rescanned> {
  const { context } = parts;
  const { cursorNumber } = await getChainState(context.database, context.chainId);
  const to = cursorNumber !== null && cursorNumber < range.to ? cursorNumber : range.to;
  if (cursorNumber === null || range.from < 0n || range.from > to) {
    throw new InputError("invalid_request", "The range holds no block that was ingested before", {
      from: range.from,
      to: range.to,
      cursor: cursorNumber,
    });
  }
  const total = Number(to - range.from) + 1;
  const deposits: Deposit[] = [];
  let scanned = 0;
  for await (const batch of batches(parts, range.from, to)) {
    const recorded = await recordBatch(parts, batch, range.only);
    deposits.push(...recorded.deposits);
    await parts.onRecorded?.(recorded);
    scanned += batch.length;
    parts.onProgress?.(scanned, total);
  }
  return { blockCount: scanned, deposits };
}

async function* batches(parts: RescanParts, from: bigint, to: bigint): AsyncGenerator<BlockTransfers[]> {
  const { context, nodes, fetchConcurrency: concurrency, signal } = parts;
  const options = { from, to, concurrency, ...(signal === undefined ? {} : { signal }) };
  const fetched = fetchAhead(nodes, options, (block) => extractTransfers(block, context.nativeSource));
  let batch: BlockTransfers[] = [];
  for await (const block of fetched) {
    batch.push(block);
    if (batch.length < BLOCKS_PER_BATCH) continue;
    yield batch;
    batch = [];
  }
  if (batch.length > 0) yield batch;
}

async function recordBatch(
  { context, keepWith }: RescanParts,
  batch: readonly BlockTransfers[],
  only: AddressSpans | undefined,
): Promise<Ingested> {
  const matched = only === undefined ? matchBlocks(batch, context.watch.table) : matchSpans(batch, only);
  const seen = matched.map((each) => judgeTransfer(each, context, thresholdRules));
  return context.database.transaction(async (tx) => {
    // Holds the cursor first: no reorg can pass between this look at the branch and the commit.
    const recorded = await recordSeen(tx, context.chainId, seen);
    const kept = new Map((await listBlockRefs(tx, context.chainId)).map((ref) => [ref.number, ref.hash]));
    const other = batch.find(({ block }) => (kept.get(block.number) ?? block.hash) !== block.hash);
    if (other !== undefined) {
      throw new TemporaryError("node_answer_invalid", "The nodes are on another branch than the cursor", {
        chainId: context.chainId,
        blockNumber: other.block.number,
      });
    }
    const last = batch.at(-1);
    if (last !== undefined) await keepWith?.(tx, last.block.number);
    return recorded;
  });
}

function matchSpans(batch: readonly BlockTransfers[], only: AddressSpans): MatchedTransfer[] {
  return batch.flatMap((each) => {
    const { number } = each.block;
    const isWanted = ({ to }: Transfer) => {
      const span = only.get(to);
      return span !== undefined && span.from <= number && number <= span.to;
    };
    return matchedIn(each, each.transfers.filter(isWanted));
  });
}
