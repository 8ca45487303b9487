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
import { keepVerification } from "./verification.ts";

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
  const options = {
    from: local.cursor().number + 1n,
    to: headNumber,
    concurrency: parts.chain.fetchConcurrency,
    signal,
  };
  const fetched = fetchAhead(parts.nodes.backfill, options, (block) =>
    extractTransfers(block, parts.ingest.nativeSource),
  );
  const committer = createCommitter(parts, local);
  let parent = local.cursor();
  try {
    for await (const extracted of fetched) {
      if (extracted.block.parentHash !== parent.hash) return extracted.block;
      parent = extracted.block;
      await committer.add(extracted);
    }
    return undefined;
  } finally {
    await committer.finish();
  }
}

/** Gathers blocks and commits them in order, one batch at a time; the next is gathered while one commits. */
function createCommitter(parts: FollowerParts, local: LocalChain) {
  let batch: BlockTransfers[] = [];
  let transferCount = 0;
  let committing: Promise<void> = Promise.resolve();

  const commit = async () => {
    await committing;
    const full = batch;
    batch = [];
    transferCount = 0;
    committing = commitBatch(parts, local, full);
    // Its failure is thrown at the next commit or at the end; until then nobody waits for it.
    committing.catch(() => undefined);
  };
  return {
    add: async (block: BlockTransfers): Promise<void> => {
      batch.push(block);
      transferCount += block.transfers.length;
      if (batch.length >= BLOCKS_PER_BATCH || transferCount >= TRANSFERS_PER_BATCH) await commit();
    },
    finish: async (): Promise<void> => {
      await commit();
      await committing;
    },
  };
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
  await keepVerification(parts.database, parts.nodes, local.leaseToken);

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
