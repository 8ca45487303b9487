/** What follows on a commit of blocks: whoever waits for it is woken, metrics and the log are fed. */
import type { BlockHeader } from "../core/chain.ts";
import { isUnmeasured } from "../core/deposit.ts";
import type { FollowerParts } from "./follower-parts.ts";
import type { Ingested } from "./ingest-block.ts";

export interface Committed {
  readonly last: BlockHeader;
  /** Blocks that the cursor passed. */
  readonly blockCount: number;
  /** In the blocks that were fetched, whoever received them. */
  readonly transferCount: number;
  readonly ingested: Ingested;
  readonly durationMs: number;
}

export async function afterCommit(parts: FollowerParts, committed: Committed): Promise<void> {
  const { chain, wakers } = parts;
  const { last, ingested, blockCount, transferCount } = committed;
  if (ingested.isAnythingDue) await wakers.settleNow(chain.id, last.number);
  if (ingested.deliveryCount > 0) await wakers.deliver();
  await wakers.settleAt(chain.id, ingested.targetBlocks, last.number, chain.blockTimeMs);
  const { deposits } = ingested;
  if (deposits.some(isUnmeasured)) parts.onUnmeasured?.();
  parts.metrics.onIngested(chain.id, { last, blockCount, transferCount, deposits });
  const fields = {
    chain_id: chain.id,
    block_number: last.number,
    block_count: blockCount,
    transfer_count: transferCount,
    deposit_count: deposits.length,
    duration_ms: Math.round(committed.durationMs),
  };
  // While catching up there are several a second; a line every ten seconds says how far it is.
  if (blockCount === 1) parts.logger.info("Ingested block", fields);
  else parts.logger.debug("Ingested blocks", fields);
}
