/**
 * Ingests blocks again that the cursor has passed: for an address registered after its deposit, or to make sure.
 * What stands already is left alone, so a rescan may be repeated and may overlap with anything.
 */
import { lowerOf } from "../core/block-number.ts";
import type { BlockTransfers, Transfer } from "../core/chain.ts";
import type { Deposit } from "../core/deposit.ts";
import { InputError, TemporaryError } from "../core/errors.ts";
import type { Address } from "../core/hex.ts";
import type { Sql } from "../db/database.ts";
import { judgeTransfer, type MatchedTransfer } from "../deposits/judge-transfer.ts";
import { listBlockRefs } from "../scanner/block-ref-store.ts";
import { getChainState } from "../scanner/chain-store.ts";
import { type Ingested, matchBlocks, matchedIn, recordSeen, thresholdRules } from "./ingest-block.ts";
import { type Piece, type PieceParts, readPieces } from "./rescan-pieces.ts";

export interface RescanRange {
  readonly from: bigint;
  /** Included; what lies above the cursor is left to the follower. */
  readonly to: bigint;
  /** Only these addresses, each in its own blocks; all watched ones in all blocks if it is not given. */
  readonly only?: AddressSpans | undefined;
}

/** In which blocks an address is looked for, both ends included. */
export type AddressSpans = ReadonlyMap<Address, { readonly from: bigint; readonly to: bigint }>;

export interface RescanParts extends PieceParts {
  /** Once it is sure that there is something to scan, before the first block. */
  readonly onBegin?: () => Promise<void>;
  readonly onProgress?: (scanned: number, total: number) => void;
  /** In the transaction of each piece: what has to be kept with it. `upTo` is the last block of the piece. */
  readonly keepWith?: (tx: Sql, upTo: bigint) => Promise<void>;
  /** After the commit of each piece. */
  readonly onRecorded?: (recorded: Ingested) => Promise<void>;
}

export interface Rescanned {
  readonly blockCount: number;
  /** New, or included again. */
  readonly deposits: readonly Deposit[];
}

/** @throws {InputError} `invalid_request` when the range holds no block that the cursor has passed */
export async function rescan(parts: RescanParts, range: RescanRange): Promise<Rescanned> {
  const { context } = parts;
  const { cursorNumber } = await getChainState(context.database, context.chainId);
  const to = lowerOf(cursorNumber ?? range.to, range.to);
  if (cursorNumber === null || range.from < 0n || range.from > to) {
    throw new InputError("invalid_request", "The range holds no block that was ingested before", {
      from: range.from,
      to: range.to,
      cursor: cursorNumber,
    });
  }
  await parts.onBegin?.();
  const total = Number(to - range.from) + 1;
  const deposits: Deposit[] = [];
  for await (const piece of readPieces(parts, { ...range, to }, cursorNumber)) {
    const recorded = await recordPiece(parts, piece, range.only);
    deposits.push(...recorded.deposits);
    await parts.onRecorded?.(recorded);
    parts.onProgress?.(Number(piece.upTo - range.from) + 1, total);
  }
  return { blockCount: total, deposits };
}

async function recordPiece(
  { context, keepWith }: RescanParts,
  { blocks, upTo }: Piece,
  only: AddressSpans | undefined,
): Promise<Ingested> {
  const matched = only === undefined ? matchBlocks(blocks, context.watch.table) : matchSpans(blocks, only);
  const seen = matched.map((each) => judgeTransfer(each, context, thresholdRules));
  return context.database.transaction(async (tx) => {
    // Holds the cursor first: no reorg can pass between this look at the branch and the commit.
    const recorded = await recordSeen(tx, context, seen);
    const kept = new Map((await listBlockRefs(tx, context.chainId)).map((ref) => [ref.number, ref.hash]));
    const other = blocks.find(({ block }) => (kept.get(block.number) ?? block.hash) !== block.hash);
    if (other !== undefined) {
      throw new TemporaryError("node_answer_invalid", "The nodes are on another branch than the cursor", {
        chainId: context.chainId,
        blockNumber: other.block.number,
      });
    }
    await keepWith?.(tx, upTo);
    return recorded;
  });
}

function matchSpans(blocks: readonly BlockTransfers[], only: AddressSpans): MatchedTransfer[] {
  return blocks.flatMap((each) => {
    const { number } = each.block;
    const isWanted = ({ to }: Pick<Transfer, "to">) => {
      const span = only.get(to);
      return span !== undefined && span.from <= number && number <= span.to;
    };
    return matchedIn(each, each.transfers.filter(isWanted));
  });
}
