/**
 * Brings the cursor forward below the finalized block by ranges of logs: the logs say which blocks to fetch whole,
 * and each range is one transaction. Where logs do not lead on, the caller reads whole blocks.
 */
import type { BlockHeader, BlockTransfers } from "../core/chain.ts";
import { TemporaryError } from "../core/errors.ts";
import { extractTransfers } from "../matcher/extract-transfers.ts";
import { listAddresses } from "../merchants/address-store.ts";
import {
  fetchNamed,
  findLoggedRange,
  type LoggedRange,
  type LoggedRangeParts,
} from "../scanner/logged-range.ts";
import type { RangeSize } from "../scanner/range-size.ts";
import type { Committed } from "./committed.ts";
import type { FollowerParts } from "./follower-parts.ts";
import { ingestRange, type RangeIngested, type SearchedRange } from "./ingest-range.ts";
import type { LocalChain } from "./local-chain.ts";
import type { WatchFilter } from "./log-filter.ts";
import { keepVerification } from "./verification.ts";

export interface LogCatchUp {
  readonly filter: WatchFilter;
  readonly witnesses: number;
  readonly size: RangeSize;
  /** The last block to reach. */
  readonly to: bigint;
}

export type LogCatchUpOutcome =
  | { readonly kind: "done" }
  /** The block after our cursor is not its child. */
  | { readonly kind: "other_branch"; readonly header: BlockHeader }
  | { readonly kind: "given_up"; readonly reason: string };

/** How often a range is searched for addresses that were registered meanwhile, before whole blocks take over. */
const SEARCHES_FOR_NEW = 5;

export async function catchUpByLogs(
  parts: FollowerParts,
  local: LocalChain,
  wanted: LogCatchUp,
  onCommitted: (committed: Committed) => Promise<void>,
  signal: AbortSignal,
): Promise<LogCatchUpOutcome> {
  const rangeParts = rangePartsOf(parts, wanted, signal);
  let { filter } = wanted;
  while (local.cursor().number < wanted.to) {
    signal.throwIfAborted();
    const from = local.cursor().number + 1n;
    const first = await parts.nodes.backfill.headerByNumber(from, signal);
    if (first === null)
      throw new TemporaryError("node_answer_invalid", "A block below the head is gone", { from });
    if (first.parentHash !== local.cursor().hash) return { kind: "other_branch", header: first };
    const found = await findLoggedRange(rangeParts, filter, from, wanted.to);
    if (found.kind === "given_up") return found;
    noteDisputed(parts, found);
    const startedAt = parts.clock.monotonic();
    const done = await ingestSearched(parts, local, rangeParts, filter, found);
    if (done.kind === "given_up") return done;
    filter = done.filter;
    local.jumpTo(found.end);
    await keepVerification(parts.database, parts.nodes, local.leaseToken);
    await onCommitted({
      last: found.end,
      blockCount: Number(found.end.number - from) + 1,
      transferCount: done.transferCount,
      ingested: done.ingested,
      durationMs: parts.clock.monotonic() - startedAt,
    });
  }
  return { kind: "done" };
}

type Range = Extract<LoggedRange<BlockTransfers>, { kind: "found" }>;

type Searched =
  | {
      readonly kind: "ingested";
      readonly filter: WatchFilter;
      readonly ingested: Extract<RangeIngested, { kind: "ingested" }>["ingested"];
      readonly transferCount: number;
    }
  | { readonly kind: "given_up"; readonly reason: string };

/** Commits the range; before that, searches it for the addresses that were registered since the filter was made. */
async function ingestSearched(
  parts: FollowerParts,
  local: LocalChain,
  rangeParts: LoggedRangeParts<BlockTransfers>,
  filter: WatchFilter,
  found: Range,
): Promise<Searched> {
  let current = filter;
  let range: SearchedRange = { end: found.end, blocks: found.taken, addressesUpTo: filter.addressesUpTo };
  for (let search = 0; search <= SEARCHES_FOR_NEW; search++) {
    const outcome = await ingestRange(parts.ingest, local.claim(), range);
    if (outcome.kind === "ingested") {
      const transferCount = range.blocks.reduce((sum, { transfers }) => sum + transfers.length, 0);
      return { kind: "ingested", filter: current, ingested: outcome.ingested, transferCount };
    }
    const added = await newAddresses(parts, current);
    const more = await searchFor(rangeParts, added, found, range);
    if (more === undefined) break;
    current = { ...added, recipients: [...current.recipients, ...added.recipients] };
    range = more;
  }
  return { kind: "given_up", reason: "addresses are registered faster than a range is searched for them" };
}

async function newAddresses({ ingest }: FollowerParts, filter: WatchFilter): Promise<WatchFilter> {
  const { database, watch } = ingest;
  const addressesUpTo = watch.lastNumber;
  const between = { after: filter.addressesUpTo, upTo: addressesUpTo, limit: MAX_NEW_ADDRESSES };
  const { addresses, lastNumber } = await listAddresses(database, between);
  // Of more than fit, the rest is found to be missing at the next attempt to commit.
  const isAll = addresses.length < MAX_NEW_ADDRESSES;
  return {
    ...filter,
    recipients: addresses,
    addressesUpTo: isAll ? addressesUpTo : (lastNumber ?? addressesUpTo),
  };
}

const MAX_NEW_ADDRESSES = 1_000;

/** The same range for these addresses alone, with what was found before. `undefined`: it is too much at once. */
async function searchFor(
  rangeParts: LoggedRangeParts<BlockTransfers>,
  added: WatchFilter,
  found: Range,
  before: SearchedRange,
): Promise<SearchedRange | undefined> {
  const query = { ...added, from: found.from, to: found.end.number };
  const answer = await rangeParts.nodes.logs(query, rangeParts.signal);
  if (answer.kind === "too_much" || answer.witnesses < rangeParts.witnesses) return undefined;
  if (answer.end.hash !== found.end.hash) return undefined;
  const held = new Set(before.blocks.map(({ block }) => block.number));
  const fetched = await fetchNamed(
    rangeParts,
    answer.blocks.filter(({ number }) => !held.has(number)),
  );
  const blocks = [...before.blocks, ...fetched].sort((a, b) => (a.block.number < b.block.number ? -1 : 1));
  return { end: found.end, blocks, addressesUpTo: added.addressesUpTo };
}

function rangePartsOf(
  parts: FollowerParts,
  { size, witnesses }: LogCatchUp,
  signal: AbortSignal,
): LoggedRangeParts<BlockTransfers> {
  return {
    nodes: parts.nodes.backfill,
    size,
    witnesses,
    concurrency: parts.chain.fetchConcurrency,
    take: (block) => extractTransfers(block, parts.ingest.nativeSource),
    signal,
  };
}

/** Each of two nodes may have what the other left out; that one did is worth a line. */
function noteDisputed({ logger, chain }: FollowerParts, { disputed, from, end }: Range): void {
  const [first] = disputed;
  if (first === undefined) return;
  logger.warn("Two nodes told different logs", {
    chain_id: chain.id,
    from_block: from,
    to_block: end.number,
    first_block: first.number,
    block_count: disputed.length,
  });
}
