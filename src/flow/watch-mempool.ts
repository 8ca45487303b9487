/**
 * Watches the mempool of one chain, where its config asks for it: a worker of its own beside the follower, which
 * neither waits for it nor hears of it. Of several daemons the one that follows the chain looks.
 *
 * Each look, in this order:
 *
 *   1  what our own chain says: transactions whose deposits were ingested are mined, those whose block left are not
 *   2  what waits in the nodes' mempools: new payments to watched addresses become `seen`
 *   3  what became of some of those that wait, by asking the nodes for each; and, when the cursor has moved, whether a
 *      block holds what was given up a while ago
 *
 * Nodes are believed for `seen`, `replaced` and `dropped`, which move no money; `mined` needs the block on our own
 * chain. What a node does wrong costs a look; only the database's failure ends the run.
 */
import type { PendingTransfer, SeenPayment } from "../core/seen-payment.ts";
import type { Database } from "../db/database.ts";
import { judgePending } from "../deposits/judge-pending.ts";
import {
  findMinedByDeposits,
  findTakenBack,
  listGivenUpSeenPayments,
  listLiveSeenPayments,
} from "../deposits/seen-payment-store.ts";
import { matchPending } from "../matcher/pending-transfers.ts";
import type { MempoolNodes } from "../rpc/mempool/mempool-nodes.ts";
import type { MempoolLook } from "../rpc/mempool/pending-source.ts";
import type { Clock } from "../runtime/clock.ts";
import type { ChainConfig } from "../runtime/config/config.ts";
import type { Logger } from "../runtime/logger.ts";
import { type ChainState, getChainState } from "../scanner/chain-store.ts";
import { createSeenExaminer, type SeenExaminer } from "./examine-seen-payments.ts";
import { type IngestContext, thresholdRules } from "./ingest-block.ts";
import { type RecordedSeenPayments, recordMoves, recordPending } from "./record-seen-payments.ts";
import type { Wakers } from "./wake-workers.ts";
import { feedNewAddresses } from "./watch-addresses.ts";

export interface MempoolParts {
  readonly database: Database;
  readonly chain: ChainConfig;
  readonly nodes: MempoolNodes;
  readonly ingest: IngestContext;
  readonly wakers: Pick<Wakers, "deliver">;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics: MempoolMetrics;
  /** This process, as the chain's lease names it. */
  readonly holder: string;
}

export interface MempoolMetrics {
  onLook(chainId: number, look: MempoolLook & { readonly isAnswered: boolean }): void;
  onMoves(chainId: number, changed: readonly SeenPayment[]): void;
}

/** Often enough for somebody who waits before a screen; a node answers a filter in well under a millisecond. */
const LEAST_LOOK_MS = 200;
/** Of a chain that another daemon follows. */
const IDLE_MS = 1_000;
/** Anybody can let transactions wait for free. Beyond so many no new ones are taken until some have ended. */
export const MOST_LIVE = 10_000;
/** Ten blocks without anybody knowing it: a balancer's nodes do not have the same mempool. */
const DROP_AFTER_BLOCKS = 10;
const LEAST_DROP_AFTER_MS = 5_000;

/** A block may hold what was replaced or dropped. With a deposit it is found whenever that is; one that failed, among these. */
const GIVEN_UP = { withinMinutes: 60, limit: 50 };

/** Runs until the signal aborts. */
export async function watchMempool(parts: MempoolParts, signal: AbortSignal): Promise<void> {
  const { chain, clock } = parts;
  const lookMs = Math.max(LEAST_LOOK_MS, chain.pollIntervalMs);
  const watcher = createMempoolWatcher(parts);
  try {
    while (!signal.aborted) {
      const isOurs = await watcher.look(signal);
      await clock.sleep(isOurs ? lookMs : IDLE_MS, signal);
    }
  } catch (rawError) {
    if (!signal.aborted) throw rawError;
  }
}

export interface MempoolWatcher {
  /** One look. @returns false when another daemon follows the chain, or nobody does yet: then nothing was done */
  look(signal: AbortSignal): Promise<boolean>;
}

export function createMempoolWatcher(parts: MempoolParts): MempoolWatcher {
  const { chain, clock, database } = parts;
  const dropAfterMs = Math.max(LEAST_DROP_AFTER_MS, DROP_AFTER_BLOCKS * chain.blockTimeMs);
  const examiner = createSeenExaminer({
    database,
    chainId: chain.id,
    nodes: parts.nodes,
    clock,
    dropAfterMs,
  });
  const ownChain = createOwnChainLook(parts);
  const outage = createOutageLog(parts);
  let lastCursorHash: ChainState["cursorHash"] | undefined;
  return {
    look: async (signal) => {
      const state = await getChainState(database, chain.id);
      if (state.leaseHolder !== parts.holder || state.cursorNumber === null) return false;
      const isNewBlock = state.cursorHash !== lastCursorHash;
      lastCursorHash = state.cursorHash;
      await note(parts, await ownChain(state));
      await note(parts, await lookAtNodes(parts, examiner, outage, signal));
      await note(parts, await recordMoves(database, await examiner.examine(signal)));
      if (isNewBlock) {
        const givenUp = await listGivenUpSeenPayments(database, chain.id, GIVEN_UP);
        await note(parts, await recordMoves(database, await examiner.reexamine(givenUp, signal)));
      }
      return true;
    },
  };
}

/** Only when the cursor has moved is there anything new. */
function createOwnChainLook({ database, chain }: MempoolParts) {
  let last: Pick<ChainState, "cursorNumber" | "cursorHash"> | undefined;
  return async (state: ChainState): Promise<RecordedSeenPayments> => {
    const cursor = state.cursorNumber ?? 0n;
    if (last?.cursorHash === state.cursorHash) return { changed: [], deliveryCount: 0 };
    const takenBack = await findTakenBack(database, chain.id);
    // What was ingested since the last look; after a reorg or a start, all that a reorg can reach.
    const lastNumber = last?.cursorNumber ?? null;
    const isPlainStep = lastNumber !== null && lastNumber < cursor && takenBack.length === 0;
    const since = isPlainStep ? lastNumber : cursor - BigInt(chain.reorgWindow);
    const back = await recordMoves(database, takenBack);
    const mined = await recordMoves(database, await findMinedByDeposits(database, chain.id, since));
    last = state;
    return {
      changed: [...back.changed, ...mined.changed],
      deliveryCount: back.deliveryCount + mined.deliveryCount,
    };
  };
}

async function lookAtNodes(
  parts: MempoolParts,
  examiner: SeenExaminer,
  outage: OutageLog,
  signal: AbortSignal,
): Promise<RecordedSeenPayments> {
  const { chain, database, ingest, nodes } = parts;
  const look = await nodes.look(signal);
  parts.metrics.onLook(chain.id, look);
  outage.note(look.isAnswered);
  // Who was given an address a moment ago may pay before the next block.
  await feedNewAddresses(database, ingest.watch);
  const live = await listLiveSeenPayments(database, chain.id, MOST_LIVE);
  const known = new Set(live.map((seen) => `${seen.txHash} ${seen.source}`));
  const found = matchPending(look.transactions, tokensOf(ingest), ingest.watch.table).filter(
    (transfer) => !known.has(`${transfer.txHash} ${transfer.source}`),
  );
  const judged = eachOnce(found)
    .flatMap((transfer) => judgePending(transfer, ingest, thresholdRules) ?? [])
    .slice(0, MOST_LIVE - live.length);
  const recorded = await recordPending(database, chain.id, judged);
  examiner.observe([...live, ...recorded.changed], look.transactions);
  return recorded;
}

function tokensOf(ingest: IngestContext): ReadonlySet<`0x${string}`> {
  return new Set([...ingest.assets.keys()].filter((token) => token !== null));
}

/** Two nodes tell of the same transaction. */
function eachOnce(transfers: readonly PendingTransfer[]): PendingTransfer[] {
  return [...new Map(transfers.map((each) => [`${each.txHash} ${each.source}`, each])).values()];
}

async function note(parts: MempoolParts, { changed, deliveryCount }: RecordedSeenPayments): Promise<void> {
  if (changed.length === 0) return;
  parts.metrics.onMoves(parts.chain.id, changed);
  for (const seen of changed) {
    parts.logger.info("Told of a seen payment", {
      chain_id: seen.chainId,
      seen_id: seen.id,
      status: seen.status,
      tx_hash: seen.txHash,
      replaced_by: seen.replacedBy,
      deposit_count: seen.depositIds.length,
    });
  }
  if (deliveryCount > 0) await parts.wakers.deliver();
}

interface OutageLog {
  note(isAnswered: boolean): void;
}

/** One line when no mempool can be looked at, and one when one can again. */
function createOutageLog({ chain, nodes, logger }: MempoolParts): OutageLog {
  let wasAnswered: boolean | undefined;
  return {
    note: (isAnswered) => {
      if (isAnswered === wasAnswered) return;
      const fields = { chain_id: chain.id, nodes: nodes.status() };
      if (!isAnswered) logger.warn("No node lets its mempool be looked at", fields);
      else logger.info("Looked at the mempool", fields);
      wasAnswered = isAnswered;
    },
  };
}
