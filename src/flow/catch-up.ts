/**
 * Brings the cursor forward: one block at the head, many per transaction when behind. While a batch commits, the
 * next blocks are being fetched; blocks are committed in order, whatever order they arrive in.
 */
import type { BlockHeader, BlockTransfers } from "../core/chain.ts";
import { extractTransfers } from "../matcher/extract-transfers.ts";
import { fetchAhead } from "../scanner/fetch-ahead.ts";
import type { FollowerParts } from "./follower-parts.ts";
import { ingestBlocks } from "./ingest-block.ts";
import type { LocalChain } from "./local-chain.ts";

/** A batch is committed when it holds this many blocks or transfers: larger ones gain nothing and hold locks longer. */
const BLOCKS_PER_BATCH = 100;
const TRANSFERS_PER_BATCH = 20_000;

/** Ingests the block that follows the cursor. Its hash is known, so its parts are asked for at once. */
export async function ingestNext(
  parts: FollowerParts,
  local: LocalChain,
  header: BlockHeader,
  signal: AbortSignal,
): Promise<void> {
  const block = await parts.nodes.blockByHash(header.hash, signal);
  await commitBatch(parts, local, [extractTransfers(block, parts.ingest.nativeSource)]);
}

/**
 * Ingests up to `headNumber`.
 *
 * @returns the block that is not a child of our cursor, when the nodes turn out to be on another branch.
 */
export async function catchUp(
  parts: FollowerParts,
  local: LocalChain,
  headNumber: bigint,
  signal: AbortSignal,
): Promise<BlockHeader | undefined> {
  const fetched = fetchAhead(parts.nodes, {
    from: local.cursor().number + 1n,
    to: headNumber,
    concurrency: parts.chain.fetchConcurrency,
    signal,
  });
  let batch: BlockTransfers[] = [];
  let transferCount = 0;
  for await (const block of fetched) {
    const parent = batch.at(-1)?.block ?? local.cursor();
    if (block.header.parentHash !== parent.hash) return block.header;
    const extracted = extractTransfers(block, parts.ingest.nativeSource);
    batch.push(extracted);
    transferCount += extracted.transfers.length;
    if (batch.length >= BLOCKS_PER_BATCH || transferCount >= TRANSFERS_PER_BATCH) {
      await commitBatch(parts, local, batch);
      batch = [];
      transferCount = 0;
    }
  }
  await commitBatch(parts, local, batch);
  return undefined;
}

async function commitBatch(
  parts: FollowerParts,
  local: LocalChain,
  batch: readonly BlockTransfers[],
): Promise<void> {
  const last = batch.at(-1);
  if (last === undefined) return;
  const startedAt = parts.clock.monotonic();
  const ingested = await ingestBlocks(parts.ingest, local.claim(), batch);
  local.append(batch.map(({ block }) => block));

  const { chain, wakers } = parts;
  if (ingested.isAnythingDue) await wakers.settleNow(chain.id, last.block.number);
  if (ingested.deliveryCount > 0) await wakers.deliver();
  await wakers.settleAt(chain.id, ingested.targetBlocks, last.block.number, chain.blockTimeMs);

  const transferCount = batch.reduce((sum, { transfers }) => sum + transfers.length, 0);
  parts.metrics.onIngested(chain.id, {
    last: last.block,
    blockCount: batch.length,
    transferCount,
    deposits: ingested.deposits,
  });
  parts.logger.info(batch.length === 1 ? "Ingested block" : "Ingested blocks", {
    chain_id: chain.id,
    block_number: last.block.number,
    block_count: batch.length,
    transfer_count: transferCount,
    deposit_count: ingested.deposits.length,
    duration_ms: Math.round(parts.clock.monotonic() - startedAt),
  });
}
