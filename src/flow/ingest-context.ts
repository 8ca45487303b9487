/** What ingesting a chain needs, as its config says it. The assets with their policies may change meanwhile. */
import type { KnownAsset } from "../core/asset.ts";
import type { Database } from "../db/database.ts";
import type { AssetsByToken } from "../deposits/judge-transfer.ts";
import type { ChainConfig, ScreeningConfig } from "../runtime/config/config.ts";
import type { IngestContext } from "./ingest-block.ts";
import type { AddressWatch } from "./watch-addresses.ts";

export function ingestContextOf(
  database: Database,
  chain: ChainConfig,
  assets: () => readonly KnownAsset[],
  watch: AddressWatch,
  screening: () => ScreeningConfig | null = () => null,
): IngestContext {
  let inForce = assets();
  let byToken = toAssetsByToken(inForce);
  return {
    database,
    chainId: chain.id,
    get assets() {
      const now = assets();
      if (now !== inForce) {
        inForce = now;
        byToken = toAssetsByToken(now);
      }
      return byToken;
    },
    get firstScreeningMs() {
      return screening()?.scheduleMs[0] ?? null;
    },
    nativeSource: chain.nativeSource,
    ownWallets: new Set(chain.ownWallets),
    reorgWindow: chain.reorgWindow,
    watch,
  };
}

function toAssetsByToken(assets: readonly KnownAsset[]): AssetsByToken {
  return new Map(assets.map((asset) => [asset.token, asset]));
}
