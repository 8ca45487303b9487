/** The `review` part as written becomes what is in force: each limit for the assets it speaks of, in base units. */
import { resolve } from "node:path";
import { parseAmount } from "../../core/amount.ts";
import type { Asset } from "../../core/asset.ts";
import type { ChainConfig, ReviewConfig, ReviewLimit } from "./config.ts";
import type { LimitShape, ReviewShape } from "./review-shape.ts";

export function toReviewConfig(
  shape: ReviewShape,
  chains: readonly ChainConfig[],
  cwd: string,
): ReviewConfig {
  const { fourEyes, limits, senderLists, screening } = shape;
  return {
    fourEyes,
    limits: chains.flatMap((chain) => chain.assets).flatMap((asset) => limitOf(asset, limits)),
    senderLists: senderLists.map((file) => resolve(cwd, file)),
    screening:
      screening === null
        ? null
        : {
            url: screening.url,
            secret: screening.secret,
            timeoutMs: screening.timeout,
            scheduleMs: screening.schedule,
            onNoAnswer: screening.onNoAnswer,
            concurrency: screening.concurrency,
          },
  };
}

/** One that names the chain stands before one for the currency on every chain. */
function limitOf(asset: Asset, limits: readonly LimitShape[]): ReviewLimit[] {
  const { chainId, token, currency, decimals } = asset;
  const ofCurrency = limits.filter((limit) => limit.currency === currency);
  const limit =
    ofCurrency.find(({ chain }) => chain === chainId) ?? ofCurrency.find(({ chain }) => chain === undefined);
  if (limit === undefined) return [];
  return [{ chainId, token, currency, decimals, overBaseUnits: parseAmount(limit.over, decimals) }];
}
