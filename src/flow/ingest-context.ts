/** What ingesting a chain needs, as its config says it. */
import type { KnownAsset } from "../core/asset.ts";
import type { Database } from "../db/database.ts";
import type { ChainConfig } from "../runtime/config/config.ts";
import type { IngestContext } from "./ingest-block.ts";
import type { AddressWatch } from "./watch-addresses.ts";

export function ingestContextOf(
  database: Database,
  chain: ChainConfig,
  assets: readonly KnownAsset[],
  watch: AddressWatch,
): IngestContext {
  return {
    database,
    chainId: chain.id,
    assets: new Map(assets.map((asset) => [asset.token, asset])),
    nativeSource: chain.nativeSource,
    ownWallets: new Set(chain.ownWallets),
    reorgWindow: chain.reorgWindow,
    watch,
  };
}
