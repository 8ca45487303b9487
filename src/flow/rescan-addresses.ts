/**
 * Works off the rescans that `watchFrom` asked for, on one chain: the background of a follower.
 *
 *   claim what is due → resolve times to blocks → scan one stretch for all whose next block lies in it → again
 *
 * Rescans that wait longest lead, and all others whose next block lies in the same stretch ride along: a thousand
 * addresses that want the same past cost one scan of it. It uses a quarter of what the follower may fetch at once,
 * and one block at a time while the follower is behind: the head comes first.
 */
import { TemporaryError } from "../core/errors.ts";
import type { BackfillQuestions } from "../rpc/chain-nodes.ts";
import {
  type AddressRescan,
  claimRescans,
  endRescansAbove,
  keepRescanProgress,
  type RescanClaim,
  releaseRescans,
  resolveRescanTime,
} from "../scanner/address-rescan-store.ts";
import { firstBlockAt } from "../scanner/block-at-time.ts";
import { type ChainState, getChainState } from "../scanner/chain-store.ts";
import type { FollowerParts } from "./follower-parts.ts";
import type { Ingested } from "./ingest-block.ts";
import { rescan } from "./rescan.ts";
import { chooseStretch, type OpenRescan, type Stretch } from "./rescan-stretch.ts";

export interface AddressRescanParts
  extends Pick<
    FollowerParts,
    "database" | "chain" | "ingest" | "wakers" | "clock" | "logger" | "holder" | "leaseMs"
  > {
  /** Asked within the budget for what was missed, never within the head's. */
  readonly nodes: Pick<BackfillQuestions, "blockByNumber" | "headerByNumber" | "logs" | "tag">;
  readonly sweepIntervalMs: number;
  readonly onScanned: (chainId: number, blockCount: number) => void;
}

const RESCANS_PER_STRETCH = 1_000;
/** Further behind than this, the follower needs the node for itself. */
const BEHIND_BLOCKS = 100n;

/** Runs until the signal aborts. */
export async function rescanAddresses(parts: AddressRescanParts, signal: AbortSignal): Promise<void> {
  const claim = { chainId: parts.chain.id, holder: parts.holder, leaseMs: parts.leaseMs };
  try {
    while (!signal.aborted) {
      const hasMore = await scanStretch(parts, claim, signal);
      if (!hasMore) await parts.clock.sleep(parts.sweepIntervalMs, signal);
    }
  } catch (rawError) {
    if (!signal.aborted) throw rawError;
  } finally {
    // Else the next one would wait for their time.
    await releaseRescans(parts.database, claim).catch(() => undefined);
  }
}

/** @returns whether there may be more to do at once */
export async function scanStretch(
  parts: AddressRescanParts,
  claim: RescanClaim,
  signal: AbortSignal,
): Promise<boolean> {
  const { database, chain } = parts;
  const state = await getChainState(database, chain.id);
  const cursor = state.cursorNumber;
  if (cursor === null || state.state === "halted") return false;
  const claimed = await claimRescans(database, claim, cursor, RESCANS_PER_STRETCH);
  if (claimed.length === 0) return false;
  if (await resolveTimes(parts, claim, claimed, cursor, signal)) return true;

  await endRescansAbove(
    database,
    claim,
    claimed.map(({ address }) => address),
    cursor,
  );
  const stretch = chooseStretch(claimed.flatMap(toOpen), cursor);
  if (stretch !== null) await scan(parts, claim, stretch, state, signal);
  return true;
}

/** @returns whether any was open: what it begins with is known to the next claim */
async function resolveTimes(
  parts: AddressRescanParts,
  claim: RescanClaim,
  claimed: readonly AddressRescan[],
  cursor: bigint,
  signal: AbortSignal,
): Promise<boolean> {
  const times = new Set(
    claimed.flatMap((each) => (each.isTimeOpen && each.fromTime ? [+each.fromTime] : [])),
  );
  for (const time of times) {
    const block = await firstBlockAt(Math.ceil(time / 1000), cursor, async (number) => {
      const header = await parts.nodes.headerByNumber(number, signal);
      if (header !== null) return header.timestamp;
      throw new TemporaryError("node_answer_invalid", "The nodes have no block below the cursor", {
        chainId: parts.chain.id,
        blockNumber: number,
      });
    });
    await resolveRescanTime(parts.database, claim, new Date(time), block);
  }
  return times.size > 0;
}

function toOpen({ address, next, to, progressedAt }: AddressRescan): OpenRescan[] {
  return next === null || to === null || next > to ? [] : [{ address, next, to, progressedAt }];
}

async function scan(
  parts: AddressRescanParts,
  claim: RescanClaim,
  { from, to, only }: Stretch,
  state: ChainState,
  signal: AbortSignal,
): Promise<void> {
  const { chain, clock, logger } = parts;
  const addresses = [...only.keys()];
  const startedAt = clock.monotonic();
  const scanned = await rescan(
    {
      context: parts.ingest,
      nodes: parts.nodes,
      chain: {
        ...chain,
        fetchConcurrency: isBehind(state) ? 1 : Math.max(1, Math.floor(chain.fetchConcurrency / 4)),
      },
      signal,
      keepWith: (tx, upTo) => keepRescanProgress(tx, claim, addresses, upTo),
      onRecorded: (recorded) => wake(parts, recorded, state.cursorNumber ?? to),
    },
    { from, to, only },
  );
  parts.onScanned(chain.id, scanned.blockCount);
  logger.info("Scanned the past for addresses", {
    chain_id: chain.id,
    from_block: from,
    to_block: to,
    block_count: scanned.blockCount,
    address_count: addresses.length,
    deposit_count: scanned.deposits.length,
    duration_ms: Math.round(clock.monotonic() - startedAt),
  });
}

function isBehind({ headNumber, cursorNumber }: ChainState): boolean {
  return headNumber !== null && cursorNumber !== null && headNumber - cursorNumber > BEHIND_BLOCKS;
}

/** As after an ingest: what is due now, what will be due, what has to be told. */
async function wake(
  { chain, wakers }: AddressRescanParts,
  recorded: Ingested,
  cursor: bigint,
): Promise<void> {
  if (recorded.isAnythingDue) await wakers.settleNow(chain.id, cursor);
  if (recorded.deliveryCount > 0) await wakers.deliver();
  await wakers.settleAt(chain.id, recorded.targetBlocks, cursor, chain.blockTimeMs);
}
