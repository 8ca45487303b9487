/** The config in force, and how a changed file comes into force without a restart. */
import { hostname } from "node:os";
import { appendAudit } from "./audit/audit-store.ts";
import { daemonActor } from "./core/actor.ts";
import type { KnownAsset } from "./core/asset.ts";
import { coerceError, isRetryable } from "./core/errors.ts";
import type { Database } from "./db/database.ts";
import { isAnythingDue, type PolicyChange } from "./flow/apply-policy.ts";
import { checkChangedTokens } from "./flow/check-tokens.ts";
import { type RegisteredAssets, registerChains } from "./flow/register-chains.ts";
import type { Wakers } from "./flow/wake-workers.ts";
import type { SenderLists } from "./review/sender-lists.ts";
import type { ChainNodes } from "./rpc/chain-nodes.ts";
import type { Clock } from "./runtime/clock.ts";
import type { ChainConfig, Config } from "./runtime/config/config.ts";
import { compareConfigs } from "./runtime/config/config-changes.ts";
import { watchConfig } from "./runtime/config/watch-config.ts";
import type { Logger } from "./runtime/logger.ts";
import type { Worker } from "./runtime/supervisor.ts";
import { createWakeup } from "./runtime/wakeup.ts";
import { findChainState } from "./scanner/chain-store.ts";

/** What may change while the daemon runs. Whoever works by it asks each time, and keeps nothing. */
export interface LiveConfig {
  readonly callbacks: () => Config["callbacks"];
  readonly review: () => Config["review"];
  readonly assetsOf: (chainId: number) => readonly KnownAsset[];
  /** For the reload alone. */
  replace(config: Config, assets: RegisteredAssets): void;
}

export function createLiveConfig(config: Config, assets: RegisteredAssets): LiveConfig {
  const inForce = { callbacks: config.callbacks, review: config.review, assets };
  const none: readonly KnownAsset[] = [];
  return {
    callbacks: () => inForce.callbacks,
    review: () => inForce.review,
    assetsOf: (chainId) => inForce.assets.get(chainId) ?? none,
    replace: (changed, changedAssets) => {
      const { scheduleMs, timeoutMs } = changed.callbacks;
      inForce.callbacks = { ...inForce.callbacks, scheduleMs, timeoutMs };
      inForce.review = changed.review;
      inForce.assets = changedAssets;
    },
  };
}

export interface ReloadParts {
  readonly config: Config;
  readonly live: LiveConfig;
  /** `null` where this process settles nothing. */
  readonly senderLists: Pick<SenderLists, "open"> | null;
  /** Reads the config again. */
  readonly readConfig: () => Promise<Config>;
  /** Of the chains that this process follows; others are checked where they are followed. */
  readonly nodesOf: ReadonlyMap<number, Pick<ChainNodes, "tokenWords">>;
  readonly database: Database;
  readonly wakers: Wakers;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** Longer than any sleep that a hint would not end. */
const UNTIL_HINT_MS = 86_400_000;

/** Reads the file again at each hint, and once at its start: it may have changed since it was read. */
export function reloadWorker(parts: ReloadParts): Worker {
  let inForce = parts.config;
  return {
    name: "reload config",
    run: async (signal) => {
      const wakeup = createWakeup(parts.clock);
      const endWatch = watchConfig(parts.config.file, wakeup.wake);
      try {
        while (!signal.aborted) {
          inForce = await reload(parts, inForce, signal);
          await wakeup.sleep(UNTIL_HINT_MS, signal);
        }
      } catch (rawError) {
        if (!signal.aborted) throw rawError;
      } finally {
        await endWatch();
      }
    },
  };
}

/**
 * A file with faults changes nothing: what was in force stays. A token that contradicts its contract is one: half of a
 * file in force would be what nobody wrote.
 *
 * @returns the config to compare the next one with
 * @throws {TemporaryError} `database_unreachable`, or no node says what a new token's contract is: the worker is started
 * again, and tries again
 */
export async function reload(
  parts: ReloadParts,
  inForce: Config,
  signal: AbortSignal = new AbortController().signal,
): Promise<Config> {
  const { logger } = parts;
  try {
    const changed = await parts.readConfig();
    const changes = compareConfigs(inForce, changed);
    if (changes.length === 0) return inForce;
    // Chains that were not there at the start are followed by nobody here.
    const chains = changed.chains.filter(({ id }) => parts.config.chains.some((chain) => chain.id === id));
    await checkTokensOf(parts, chains, inForce, signal);
    const useLists = await parts.senderLists?.open(changed.review.senderLists);
    const applied = await registerChains(parts.database, chains, logger);
    await appendAudit(parts.database, {
      actor: daemonActor(hostname()),
      action: "config.change",
      subject: "config",
      detail: { file: changed.file, changes },
    });
    useLists?.();
    parts.live.replace(changed, applied.assets);
    for (const { needsRestart, ...change } of changes) {
      if (needsRestart) logger.warn("A changed part of the config waits for a restart", change);
      else logger.info("Changed the config in force", change);
    }
    await wakeSettlers(parts, applied.changes);
    return changed;
  } catch (rawError) {
    if (isRetryable(rawError) || signal.aborted) throw rawError;
    logger.error("Kept the config in force: the changed one cannot be taken", {
      error: coerceError(rawError),
    });
    return inForce;
  }
}

/** Before anything is written: the database keeps an asset as it was first taken. */
async function checkTokensOf(
  { nodesOf, logger }: ReloadParts,
  chains: readonly ChainConfig[],
  inForce: Config,
  signal: AbortSignal,
): Promise<void> {
  for (const chain of chains) {
    const nodes = nodesOf.get(chain.id);
    const before = inForce.chains.find(({ id }) => id === chain.id)?.assets ?? [];
    if (nodes !== undefined) await checkChangedTokens({ chain, nodes, logger }, before, signal);
  }
}

async function wakeSettlers(
  { database, wakers }: ReloadParts,
  changes: readonly PolicyChange[],
): Promise<void> {
  const chainIds = new Set(changes.filter((change) => isAnythingDue([change])).map(({ chainId }) => chainId));
  for (const chainId of chainIds) {
    const state = await findChainState(database, chainId);
    if (state !== undefined && state.cursorNumber !== null)
      await wakers.settleNow(chainId, state.cursorNumber);
  }
}
