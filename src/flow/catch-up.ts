/**
 * Brings the cursor forward over many blocks.
 *
 *     below the finalized block   at full speed: ranges of logs where the chain allows it, else whole blocks, a
 *                                 hundred in a transaction
 *     above it                    whole blocks, few in a transaction: what is new shows soon, and a reorg wastes little
 *
 * While a batch commits, the next blocks are being fetched; blocks are committed in order, whatever order they arrive
 * in.
 */
import { lowerOf } from "../core/block-number.ts";
import type { BlockHeader, BlockTransfers } from "../core/chain.ts";
import { extractTransfers } from "../matcher/extract-transfers.ts";
import type { FetchedBlock } from "../rpc/fetched-block.ts";
import { fetchEach } from "../scanner/fetch-ahead.ts";
import { createRangeSize } from "../scanner/range-size.ts";
import { catchUpByLogs, type LogCatchUpOutcome } from "./catch-up-by-logs.ts";
import { type CatchUpProgress, startProgress } from "./catch-up-progress.ts";
import { afterCommit, type Committed } from "./committed.ts";
import type { FollowerParts } from "./follower-parts.ts";
import { ingestBlocks } from "./ingest-block.ts";
import type { LocalChain } from "./local-chain.ts";
import { loadWatchFilter, logWitnesses, type PastEnds, pastEnds } from "./log-filter.ts";
import { TransferNotKept } from "./pack-transfers.ts";
import { readBlocks } from "./read-blocks.ts";
import { keepVerification } from "./verification.ts";

/** A batch is committed when it holds this many blocks or transfers: larger ones gain nothing and hold locks longer. */
const BLOCKS_PER_BATCH = 100;
const TRANSFERS_PER_BATCH = 20_000;
/** Above the finalized block. */
const NEW_BLOCKS_PER_BATCH = 10;

/** Below this many blocks whole ones are as quick as two questions and their set-up. */
const WORTH_LOGS = 100n;
/** Read as whole blocks where logs did not lead on, before they are tried again. */
const BLOCKS_WITHOUT_LOGS = 1_000n;

/** Ingests the block that follows the cursor. Its hash is known, so its parts are asked for at once. */
export async function ingestNext(
  parts: FollowerParts,
  local: LocalChain,
  header: BlockHeader,
  signal: AbortSignal,
): Promise<void> {
  const block = await parts.nodes.blockByHash(header.hash, signal);
  const extracted = extractTransfers(block, parts.ingest.nativeSource);
  await afterCommit(parts, await commitBatch(parts, local, [extracted]));
}

/**
 * Ingests up to the head.
 *
 * @returns the block that is not a child of our cursor, when the nodes turn out to be on another branch.
 */
export async function catchUp(
  parts: FollowerParts,
  local: LocalChain,
  head: BlockHeader,
  signal: AbortSignal,
): Promise<BlockHeader | undefined> {
  const progress = await startProgress(parts, local, head, signal);
  const size = createRangeSize();
  const ends = await pastEnds(parts.nodes, parts.chain, head.number, signal);
  const span: Span = { ...ends, progress, signal };
  while (local.cursor().number < head.number) {
    const outcome = await byLogs(parts, local, { ...span, size });
    if (outcome?.kind === "other_branch") return outcome.header;
    const isRetreat = outcome?.kind === "given_up";
    const to = isRetreat ? lowerOf(head.number, local.cursor().number + BLOCKS_WITHOUT_LOGS) : head.number;
    if (isRetreat) {
      const fields = { chain_id: parts.chain.id, reason: outcome.reason, to_block: to };
      parts.logger.warn("Read whole blocks in place of logs", fields);
    }
    const other = await byWholeBlocks(parts, local, to, span);
    if (other !== undefined) return other;
  }
  await progress.finish();
  return undefined;
}

interface Span extends PastEnds {
  readonly progress: CatchUpProgress;
  readonly signal: AbortSignal;
}

/** `undefined` where the chain's past is not read by logs, or little of it is left. */
async function byLogs(
  parts: FollowerParts,
  local: LocalChain,
  { lastLogged, progress, signal, size }: Span & { size: ReturnType<typeof createRangeSize> },
): Promise<LogCatchUpOutcome | undefined> {
  const witnesses = logWitnesses(parts.chain);
  if (witnesses === undefined || lastLogged === null) return undefined;
  if (lastLogged - local.cursor().number < WORTH_LOGS) return undefined;
  const { database, watch } = parts.ingest;
  const filter = await loadWatchFilter(database, parts.chain, watch);
  if (filter === undefined) return undefined;
  const onCommitted = async (committed: Committed) => {
    await afterCommit(parts, committed);
    await progress.note();
  };
  return catchUpByLogs(parts, local, { filter, witnesses, size, to: lastLogged }, onCommitted, signal);
}

async function byWholeBlocks(
  parts: FollowerParts,
  local: LocalChain,
  to: bigint,
  { lastFinal, progress, signal }: Span,
): Promise<BlockHeader | undefined> {
  const options = {
    from: local.cursor().number + 1n,
    to,
    concurrency: parts.chain.fetchConcurrency,
    signal,
  };
  const fetched = readBlocks(parts, options);
  const committer = createCommitter(parts, local, progress, signal);
  let parent = local.cursor();
  try {
    for await (const extracted of fetched) {
      signal.throwIfAborted();
      if (extracted.block.parentHash !== parent.hash) return extracted.block;
      parent = extracted.block;
      const isFinal = extracted.block.number <= lastFinal;
      await committer.add(extracted, isFinal ? BLOCKS_PER_BATCH : NEW_BLOCKS_PER_BATCH);
    }
    return undefined;
  } finally {
    await committer.finish();
  }
}

/** Gathers blocks and commits them in order, one batch at a time; the next is gathered while one commits. */
function createCommitter(
  parts: FollowerParts,
  local: LocalChain,
  progress: CatchUpProgress,
  signal: AbortSignal,
) {
  let batch: BlockTransfers[] = [];
  let transferCount = 0;
  let committing: Promise<void> = Promise.resolve();

  const commit = async () => {
    await committing;
    const full = batch;
    batch = [];
    transferCount = 0;
    committing = commitAndTell(full);
    // Its failure is thrown at the next commit or at the end; until then nobody waits for it.
    committing.catch(() => undefined);
  };
  const commitAndTell = async (full: readonly BlockTransfers[]) => {
    if (full.length === 0) return;
    await afterCommit(parts, await commitRead(parts, local, full, signal));
    await progress.note();
  };
  return {
    add: async (block: BlockTransfers, blocksPerBatch: number): Promise<void> => {
      batch.push(block);
      transferCount += block.transfers.length;
      if (batch.length >= blocksPerBatch || transferCount >= TRANSFERS_PER_BATCH) await commit();
    },
    finish: async (): Promise<void> => {
      await commit();
      await committing;
    },
  };
}

/** What was read is kept for the addresses watched by then: for those registered since, it is read again as a whole. */
async function commitRead(
  parts: FollowerParts,
  local: LocalChain,
  batch: readonly BlockTransfers[],
  signal: AbortSignal,
): Promise<Committed> {
  try {
    return await commitBatch(parts, local, batch);
  } catch (rawError) {
    if (!(rawError instanceof TransferNotKept)) throw rawError;
    parts.logger.debug("Read blocks again for addresses registered since", { chain_id: parts.chain.id });
    return commitBatch(parts, local, await readAgain(parts, batch, signal));
  }
}

async function readAgain(
  { nodes, ingest, chain }: FollowerParts,
  batch: readonly BlockTransfers[],
  signal: AbortSignal,
): Promise<BlockTransfers[]> {
  const numbers = batch.map(({ block }) => block.number);
  const options = { concurrency: chain.fetchConcurrency, signal };
  const take = (block: FetchedBlock) => extractTransfers(block, ingest.nativeSource);
  const blocks: BlockTransfers[] = [];
  for await (const block of fetchEach(nodes.backfill, numbers, options, take)) blocks.push(block);
  return blocks;
}

async function commitBatch(
  parts: FollowerParts,
  local: LocalChain,
  batch: readonly BlockTransfers[],
): Promise<Committed> {
  const startedAt = parts.clock.monotonic();
  const ingested = await ingestBlocks(parts.ingest, local.claim(), batch);
  local.append(batch.map(({ block }) => block));
  await keepVerification(parts.database, parts.nodes, local.leaseToken);
  return {
    last: local.cursor(),
    blockCount: batch.length,
    transferCount: batch.reduce((sum, { transfers }) => sum + transfers.length, 0),
    ingested,
    durationMs: parts.clock.monotonic() - startedAt,
  };
}
