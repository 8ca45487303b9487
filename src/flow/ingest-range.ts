/**
 * [tx] Ingests a range of which only some blocks were fetched: those that logs named.
 *
 * As with whole blocks, the cursor never passes a block that was not looked at for every address registered before.
 * Here the look was made by the nodes, for the addresses of a filter; so behind the closed gate there must be none
 * that the filter did not hold, or nothing is written and the range is searched for those first.
 */
import type { BlockHeader, BlockTransfers } from "../core/chain.ts";
import { TemporaryError } from "../core/errors.ts";
import type { Hash } from "../core/hex.ts";
import { judgeTransfer } from "../deposits/judge-transfer.ts";
import { closeRegistrationGate } from "../merchants/address-store.ts";
import { deleteBlockRefsUpTo, insertBlockRefs } from "../scanner/block-ref-store.ts";
import { type CursorClaim, moveCursor } from "../scanner/cursor-store.ts";
import {
  type IngestContext,
  type Ingested,
  matchBlocks,
  recordSeen,
  thresholdRules,
} from "./ingest-block.ts";
import { loadNewAddresses } from "./watch-addresses.ts";

export interface SearchedRange {
  /** The block at its end, where the cursor goes. */
  readonly end: BlockHeader;
  /** Every block of the range that may hold a transfer to one of the filter's addresses, rising. */
  readonly blocks: readonly BlockTransfers[];
  /** The filter held every address registered up to this number. */
  readonly addressesUpTo: bigint;
}

export type RangeIngested =
  | { readonly kind: "ingested"; readonly ingested: Ingested }
  /** Addresses were registered that the filter did not hold; they are in the watch now. Nothing was written. */
  | { readonly kind: "addresses_appeared" };

class AddressesAppeared extends Error {}

/**
 * @param from where the cursor must stand: before the first block of the range
 * @throws {TemporaryError} `cursor_moved`; `node_answer_invalid` when the blocks do not fit between the two ends
 */
export async function ingestRange(
  context: IngestContext,
  from: CursorClaim,
  range: SearchedRange,
): Promise<RangeIngested> {
  const { database, chainId, watch } = context;
  assertWithin(from, range);
  try {
    const ingested = await database.transaction(async (tx) => {
      await moveCursor(tx, from, range.end);
      // Refs must follow on each other: what was kept below the range is too deep for any reorg now.
      await deleteBlockRefsUpTo(tx, chainId, from.number);
      await insertBlockRefs(tx, chainId, [{ ...range.end, verification: null }]);

      await closeRegistrationGate(tx);
      await loadNewAddresses(tx, watch);
      if (watch.lastNumber > range.addressesUpTo) throw new AddressesAppeared();

      const found = matchBlocks(range.blocks, watch.table);
      const seen = found.map((each) => judgeTransfer(each, context, thresholdRules));
      return recordSeen(tx, context, seen);
    });
    return { kind: "ingested", ingested };
  } catch (rawError) {
    if (rawError instanceof AddressesAppeared) return { kind: "addresses_appeared" };
    throw rawError;
  }
}

/** Rising, between the cursor and the end, and of their branch where they touch them. */
function assertWithin(from: CursorClaim, { end, blocks }: SearchedRange): void {
  let before: { number: bigint; hash: Hash } = from;
  for (const { block } of [...blocks, { block: end }]) {
    const isEnd = block === end;
    const isSame = isEnd && block.number === before.number && block.hash === before.hash && blocks.length > 0;
    const isNext = block.number === before.number + 1n && block.parentHash === before.hash;
    if (!isSame && !isNext && block.number <= before.number + 1n) throw doesNotFit(from, block);
    before = block;
  }
}

function doesNotFit({ chainId }: CursorClaim, block: BlockHeader): TemporaryError {
  return new TemporaryError("node_answer_invalid", "A block does not fit into the range it was named in", {
    chainId,
    blockNumber: block.number,
    blockHash: block.hash,
  });
}
