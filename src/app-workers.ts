/** The workers of each role. */
import type { KnownAsset } from "./core/asset.ts";
import type { Database } from "./db/database.ts";
import { deleteEndedSeenPayments } from "./deposits/seen-payment-store.ts";
import type { AttemptReport } from "./flow/deliver-callbacks.ts";
import { createFetchThreads } from "./flow/fetch-threads.ts";
import { followChain } from "./flow/follow-chain.ts";
import type { FollowerMetrics, FollowerParts } from "./flow/follower-parts.ts";
import { ingestContextOf } from "./flow/ingest-context.ts";
import { measureDeposits } from "./flow/measure-deposits.ts";
import { keepReportingNodes } from "./flow/report-nodes.ts";
import { rescanAddresses } from "./flow/rescan-addresses.ts";
import { type SettlerParts, sweepDeposits, workSettleQueue } from "./flow/settle-worker.ts";
import { restoreVerification } from "./flow/verification.ts";
import type { Wakers } from "./flow/wake-workers.ts";
import type { AddressLoader } from "./flow/watch-addresses.ts";
import { type MempoolMetrics, watchMempool } from "./flow/watch-mempool.ts";
import { deleteIdempotencyKeys } from "./merchants/idempotency-store.ts";
import type { ChainNodes } from "./rpc/chain-nodes.ts";
import type { VerificationEvents } from "./rpc/chain-verifier.ts";
import { createMempoolNodes } from "./rpc/mempool/mempool-nodes.ts";
import type { Clock } from "./runtime/clock.ts";
import type { ChainConfig, Config, ReviewConfig } from "./runtime/config/config.ts";
import type { Logger } from "./runtime/logger.ts";
import type { Metrics } from "./runtime/metrics.ts";
import type { Worker } from "./runtime/supervisor.ts";
import { createWakeup, type Wakeup } from "./runtime/wakeup.ts";

export interface WorkerParts {
  readonly config: Config;
  readonly database: Database;
  readonly wakers: Wakers;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics: Metrics;
  /** This process, by a name an operator recognises. */
  readonly instance: string;
  readonly onCatchUp: FollowerParts["onCatchUp"];
  /** What holds deposits before their credit, as it is in force now. */
  readonly review: () => ReviewConfig;
}

/**
 * A follower for each chain, what looks at its past, and what watches its mempool where the config asks for it. The
 * addresses are loaded by the first that runs; all wait.
 */
export function scanWorkers(
  parts: WorkerParts,
  nodesOf: ReadonlyMap<number, ChainNodes>,
  assetsOf: (chainId: number) => readonly KnownAsset[],
  addresses: AddressLoader,
): Worker[] {
  return parts.config.chains.flatMap((chain) => {
    const nodes = nodesOf.get(chain.id);
    if (nodes === undefined) return [];
    const assets = () => assetsOf(chain.id);
    const unmeasured = createWakeup(parts.clock);
    const mempool: Worker = {
      name: `mempool ${chain.id}`,
      run: (signal) => watchMempoolOf(parts, chain, assets, addresses, signal),
    };
    return [
      {
        name: `follow ${chain.id}`,
        run: (signal, onWell) =>
          follow({ ...parts, onWell }, chain, nodes, assets, addresses, unmeasured, signal),
      },
      {
        name: `measure deposits ${chain.id}`,
        run: (signal) => measure(parts, chain, nodes, assets, addresses, unmeasured, signal),
      },
      {
        name: `rescan addresses ${chain.id}`,
        run: (signal) => rescanPast(parts, chain, nodes, assets, addresses, signal),
      },
      ...(chain.mempool ? [mempool] : []),
    ];
  });
}

/** Its connections live as long as its run. */
async function watchMempoolOf(
  parts: WorkerParts,
  chain: ChainConfig,
  assets: () => readonly KnownAsset[],
  addresses: AddressLoader,
  signal: AbortSignal,
): Promise<void> {
  const { database, wakers, clock, logger, instance } = parts;
  const watch = await addresses.load(signal);
  const nodes = createMempoolNodes({ chain, clock });
  const ingest = ingestContextOf(database, chain, assets, watch, () => parts.review().screening);
  const metrics = mempoolMetrics(parts.metrics);
  try {
    await watchMempool(
      { database, chain, nodes, ingest, wakers, clock, logger, metrics, holder: instance },
      signal,
    );
  } finally {
    await nodes.close();
  }
}

async function follow(
  parts: WorkerParts & Pick<FollowerParts, "onWell">,
  chain: ChainConfig,
  nodes: ChainNodes,
  assets: () => readonly KnownAsset[],
  addresses: AddressLoader,
  unmeasured: Wakeup,
  signal: AbortSignal,
): Promise<void> {
  const { database, wakers, clock, logger } = parts;
  const watch = await addresses.load(signal);
  const ingest = ingestContextOf(database, chain, assets, watch, () => parts.review().screening);
  const { leaseMs } = parts.config;
  const metrics = followerMetrics(parts.metrics, clock);
  const threads = createFetchThreads({ chain, clock, logger });
  try {
    await followChain(
      {
        database,
        chain,
        nodes,
        ingest,
        wakers,
        clock,
        logger,
        metrics,
        holder: parts.instance,
        leaseMs,
        threads,
        onWell: parts.onWell,
        onUnmeasured: unmeasured.wake,
        onCatchUp: parts.onCatchUp,
      },
      signal,
    );
  } finally {
    await threads.close();
  }
}

async function measure(
  parts: WorkerParts,
  chain: ChainConfig,
  nodes: ChainNodes,
  assets: () => readonly KnownAsset[],
  addresses: AddressLoader,
  unmeasured: Wakeup,
  signal: AbortSignal,
): Promise<void> {
  const ingest = ingestContextOf(parts.database, chain, assets, await addresses.load(signal));
  return measureDeposits({ ...parts, chain, nodes, ingest }, unmeasured, signal);
}

async function rescanPast(
  parts: WorkerParts,
  chain: ChainConfig,
  nodes: ChainNodes,
  assets: () => readonly KnownAsset[],
  addresses: AddressLoader,
  signal: AbortSignal,
): Promise<void> {
  const watch = await addresses.load(signal);
  const ingest = ingestContextOf(parts.database, chain, assets, watch, () => parts.review().screening);
  // The follower knows it once it leads; this goes on beside one in another process too.
  if (nodes.verification.state().memory === null) await restoreVerification(parts.database, nodes);
  const { leaseMs, sweepIntervalMs } = parts.config;
  const onScanned = (chainId: number, blockCount: number) =>
    parts.metrics.rescanBlocks.inc({ chain_id: String(chainId) }, blockCount);
  return rescanAddresses(
    {
      ...parts,
      chain,
      nodes: nodes.backfill,
      ingest,
      holder: parts.instance,
      leaseMs,
      sweepIntervalMs,
      onScanned,
    },
    signal,
  );
}

export function settlerParts(
  parts: WorkerParts,
  queue: SettlerParts["queue"],
  holdRules: SettlerParts["holdRules"],
): SettlerParts {
  const { metrics } = parts;
  return {
    ...parts,
    queue,
    holdRules,
    sweepIntervalMs: parts.config.sweepIntervalMs,
    retryMs: Math.min(1_000, ...parts.config.chains.map((chain) => chain.blockTimeMs)),
    onSettled: (chainId, { credited, held, rejected, unlocked }, from, durationMs) => {
      const chain_id = String(chainId);
      metrics.settleSeconds.observe({ chain_id }, durationMs / 1000);
      metrics.depositMoves.inc({ chain_id, status: "credited" }, credited);
      metrics.depositMoves.inc({ chain_id, status: "held" }, held);
      metrics.depositMoves.inc({ chain_id, status: "rejected" }, rejected);
      metrics.depositMoves.inc({ chain_id, status: "unlocked" }, unlocked);
      if (from === "sweep") metrics.sweepFinds.inc({ queue: "settle" }, credited + held + unlocked);
    },
  };
}

/** The queue's jobs, and the sweep beside them. */
export function settleWorkers(parts: SettlerParts, graceMs: number): Worker[] {
  return [
    { name: "sweep deposits", run: (signal) => sweepDeposits(parts, signal) },
    {
      name: "settle",
      run: async (signal) => {
        const worker = workSettleQueue(parts);
        try {
          await untilAborted(signal);
        } finally {
          await worker.close(graceMs);
        }
      },
    },
  ];
}

/** How the nodes are, for those who look into the database. */
export function nodeReportWorker(parts: WorkerParts, nodesOf: ReadonlyMap<number, ChainNodes>): Worker {
  const { database, clock, instance: holder } = parts;
  const nodes = () => [...nodesOf].map(([chainId, each]) => [chainId, each.nodes()] as const);
  return {
    name: "report nodes",
    run: (signal) => keepReportingNodes({ database, clock, holder, nodes }, signal),
  };
}

const KEEP_IDEMPOTENCY_HOURS = 72;
/** A seen payment that ended is looked up for a day or two, until its deposit or its absence is plain. */
const KEEP_SEEN_PAYMENTS_DAYS = 7;
const HOUSEKEEPING_MS = 3_600_000;

/** What is kept for a while only. */
export function housekeepingWorker(parts: WorkerParts): Worker {
  return {
    name: "housekeeping",
    run: async (signal) => {
      while (!signal.aborted) {
        const deleted = await deleteIdempotencyKeys(parts.database, KEEP_IDEMPOTENCY_HOURS);
        if (deleted > 0) parts.logger.info("Deleted old idempotency keys", { count: deleted });
        const ended = await deleteEndedSeenPayments(parts.database, KEEP_SEEN_PAYMENTS_DAYS);
        if (ended > 0) parts.logger.info("Deleted old seen payments", { count: ended });
        await parts.clock.sleep(HOUSEKEEPING_MS, signal);
      }
    },
  };
}

export function noteAttempt(metrics: Metrics, { outcome, decision, eventAgeMs }: AttemptReport): void {
  metrics.deliveryAttempts.inc({ outcome: outcome.error ?? "delivered" });
  metrics.deliveryAttemptSeconds.observe(outcome.durationMs / 1000);
  if (decision === "delivered") metrics.eventToDeliverySeconds.observe(eventAgeMs / 1000);
  if (decision === "delivered" || decision === "failed") metrics.deliveriesFinished.inc({ state: decision });
}

export function untilAborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) return resolve();
    signal.addEventListener("abort", () => resolve(), { once: true });
  });
}

export function verificationEvents(metrics: Metrics, chainId: number): VerificationEvents {
  const chain_id = String(chainId);
  return {
    onRefused: (node) => metrics.verificationRefusals.inc({ chain_id, node }),
    onDropped: () => metrics.verificationDrops.inc({ chain_id }),
  };
}

function mempoolMetrics(metrics: Metrics): MempoolMetrics {
  return {
    onLook: (chainId, { isAnswered, transactions, junkCount, leftOutCount }) => {
      const chain_id = String(chainId);
      metrics.mempoolUp.set({ chain_id }, isAnswered ? 1 : 0);
      metrics.mempoolTransactions.inc({ chain_id, outcome: "read" }, transactions.length);
      metrics.mempoolTransactions.inc({ chain_id, outcome: "junk" }, junkCount);
      metrics.mempoolTransactions.inc({ chain_id, outcome: "left_out" }, leftOutCount);
    },
    onMoves: (chainId, changed) => {
      const chain_id = String(chainId);
      for (const { status } of changed) metrics.seenPaymentMoves.inc({ chain_id, status });
    },
  };
}

function followerMetrics(metrics: Metrics, clock: Clock): FollowerMetrics {
  return {
    onIngested: (chainId, { last, blockCount, transferCount, deposits }) => {
      const chain_id = String(chainId);
      metrics.blocksIngested.inc({ chain_id }, blockCount);
      metrics.transfersSeen.inc({ chain_id }, transferCount);
      for (const { status } of deposits) metrics.depositsSeen.inc({ chain_id, status });
      // While catching up it would tell how old the blocks are, not how quick we are.
      if (blockCount === 1)
        metrics.blockToRowSeconds.observe({ chain_id }, clock.now() / 1000 - last.timestamp);
    },
    onReorg: (chainId, depth, orphaned, reversed) => {
      const chain_id = String(chainId);
      metrics.reorgs.inc({ chain_id });
      metrics.reorgBlocks.inc({ chain_id }, depth);
      metrics.depositMoves.inc({ chain_id, status: "orphaned" }, orphaned);
      metrics.depositMoves.inc({ chain_id, status: "reversed" }, reversed);
    },
    onShortfall: (chainId) => metrics.reversalShortfalls.inc({ chain_id: String(chainId) }),
    onFinalityLost: (chainId, tag) => metrics.finalityLost.inc({ chain_id: String(chainId), tag }),
  };
}
