/**
 * Brings the database in line with the config before work begins: chains, assets, and the policy for deposits
 * that still wait. May run again, and beside another daemon with the same config.
 */
import type { KnownAsset } from "../core/asset.ts";
import type { Database } from "../db/database.ts";
import { registerAssets } from "../deposits/asset-store.ts";
import type { ChainConfig } from "../runtime/config/config.ts";
import type { Logger } from "../runtime/logger.ts";
import { registerChain } from "../scanner/chain-store.ts";
import { applyPolicy } from "./apply-policy.ts";

/** The assets of each chain, by chain id. */
export type RegisteredAssets = ReadonlyMap<number, readonly KnownAsset[]>;

/** @throws {FatalError} `asset_changed` */
export async function registerChains(
  database: Database,
  chains: readonly ChainConfig[],
  logger: Logger,
): Promise<RegisteredAssets> {
  const registered = new Map<number, readonly KnownAsset[]>();
  for (const chain of chains) {
    await registerChain(database, chain.id, chain.name);
    const assets = await registerAssets(database, chain.assets);
    registered.set(chain.id, assets);
    const changed = await applyPolicy(database, chain.id, assets);
    if (changed > 0) {
      logger.info("Applied a changed confirmation policy", { chain_id: chain.id, threshold_count: changed });
    }
  }
  return registered;
}
