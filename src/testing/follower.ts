/** A follower on a real node and a real database, as a daemon runs it; due deposits are settled at once, not by a job. */
import { isRetryable } from "../core/errors.ts";
import type { FetchThreads } from "../flow/fetch-threads.ts";
import { followChain } from "../flow/follow-chain.ts";
import type { ChainProgress, FollowerParts, IngestedBatch } from "../flow/follower-parts.ts";
import type { IngestContext } from "../flow/ingest-block.ts";
import { ingestContextOf } from "../flow/ingest-context.ts";
import { registerChains } from "../flow/register-chains.ts";
import { settleDeposits } from "../flow/settle-deposits.ts";
import { loadAddressWatch } from "../flow/watch-addresses.ts";
import type { ChainNodes } from "../rpc/chain-nodes.ts";
import { type Clock, systemClock } from "../runtime/clock.ts";
import type { ChainConfig } from "../runtime/config/config.ts";
import { type Logger, silentLogger } from "../runtime/logger.ts";
import { systemRandom } from "../runtime/random.ts";
import type { TestDatabase } from "./database.ts";
import { testNodes } from "./nodes.ts";

export interface FollowerOptions {
  readonly chain: ChainConfig;
  readonly nodes?: ChainNodes;
  readonly logger?: Logger;
  readonly threads?: FetchThreads;
  readonly onIngested?: (batch: IngestedBatch) => void;
  readonly onCatchUp?: (progress: ChainProgress) => void;
  /** In place of settling at once. */
  readonly settleNow?: () => Promise<void>;
  /** Left alone after its first error, which is its outcome; else it is started again, as in a daemon. */
  readonly isUnsupervised?: boolean;
  /** In place of either: how it is kept running. */
  readonly run?: (parts: FollowerParts, signal: AbortSignal) => Promise<void>;
  readonly clock?: Clock;
  /** Who it is, where several follow. */
  readonly holder?: string;
  readonly leaseMs?: number;
}

export interface TestFollower {
  /** What it ended with: nothing when it was stopped, and an error that does not pass. */
  readonly outcome: Promise<unknown>;
  stop(): Promise<void>;
}

export async function startFollower(test: TestDatabase, options: FollowerOptions): Promise<TestFollower> {
  const { chain } = options;
  const { database } = test;
  const nodes =
    options.nodes ?? testNodes(chain.nodes, { chainId: chain.id, verification: chain.verification });
  const parts: FollowerParts = {
    database,
    chain,
    nodes,
    clock: options.clock ?? systemClock,
    logger: options.logger ?? silentLogger,
    holder: options.holder ?? "test",
    leaseMs: options.leaseMs ?? 15_000,
    threads: options.threads,
    metrics: {
      onIngested: (_chainId, batch) => options.onIngested?.(batch),
      onReorg: () => undefined,
      onShortfall: () => undefined,
      onFinalityLost: () => undefined,
    },
    onCatchUp: options.onCatchUp,
    ingest: await contextOf(test, chain),
    wakers: {
      settleAt: async () => undefined,
      settleNow: options.settleNow ?? (async () => void (await settleDeposits(database, chain.id))),
      deliver: async () => undefined,
      deliverAt: async () => undefined,
    },
  };
  const stopping = new AbortController();
  const run = options.run ?? (options.isUnsupervised === true ? followChain : followSupervised);
  const outcome = run(parts, stopping.signal).catch((error: unknown) => error);
  return {
    outcome,
    stop: async () => {
      stopping.abort();
      await outcome;
      await nodes.close();
    },
  };
}

const RESTART_MS = 50;

/** Starts the follower again after an error that may pass, as the daemon's supervisor does, and sooner. */
export async function followSupervised(parts: FollowerParts, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    try {
      return await followChain(parts, signal);
    } catch (rawError) {
      if (!isRetryable(rawError)) throw rawError;
      await parts.clock.sleep(RESTART_MS, signal);
    }
  }
}

/** What ingesting this chain needs, with every address registered until now. */
export async function contextOf({ database }: TestDatabase, chain: ChainConfig): Promise<IngestContext> {
  const { assets } = await registerChains(database, [chain], silentLogger);
  const watch = await loadAddressWatch(database, systemRandom);
  return ingestContextOf(database, chain, () => assets.get(chain.id) ?? [], watch);
}
