/**
 * Brings the database in line with the config before work begins: chains, assets, and for deposits that
 * still wait the policy and what counts of them. May run again, and beside another daemon with the same config.
 */
import type { KnownAsset } from "../core/asset.ts";
import type { Database } from "../db/database.ts";
import { registerAssets } from "../deposits/asset-store.ts";
import { applyAmountSource } from "../deposits/measure-store.ts";
import type { ChainConfig } from "../runtime/config/config.ts";
import type { Logger } from "../runtime/logger.ts";
import { registerChain } from "../scanner/chain-store.ts";
import { applyPolicy, type PolicyChange } from "./apply-policy.ts";

/** The assets of each chain, by chain id. */
export type RegisteredAssets = ReadonlyMap<number, readonly KnownAsset[]>;

export interface RegisteredChains {
  readonly assets: RegisteredAssets;
  /** What deposits in flight wait for now, where it is something else than before. */
  readonly changes: readonly PolicyChange[];
}

/** @throws {FatalError} `asset_changed` */
export async function registerChains(
  database: Database,
  chains: readonly ChainConfig[],
  logger: Logger,
): Promise<RegisteredChains> {
  const registered = new Map<number, readonly KnownAsset[]>();
  const changes: PolicyChange[] = [];
  for (const chain of chains) {
    await registerChain(database, chain.id, chain.name, chain.witnesses);
    const assets = await registerAssets(database, chain.assets);
    registered.set(chain.id, assets);
    for (const asset of assets) await applyAmountSource(database, asset);
    changes.push(...(await applyPolicy(database, chain.id, assets)));
  }
  tellPolicyChanges(changes, logger);
  return { assets: registered, changes };
}

/** One line for each asset and threshold, with its old and its new value. */
function tellPolicyChanges(changes: readonly PolicyChange[], logger: Logger): void {
  for (const change of changes) {
    logger.info("Applied a changed confirmation policy", {
      chain_id: change.chainId,
      currency: change.currency,
      threshold: change.stage,
      from: change.from,
      to: change.to,
      deposit_count: change.depositCount,
      due_at_once_count: change.dueAtOnceCount,
    });
  }
}
