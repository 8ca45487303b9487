/** What is in force, in the words of the file, with everything secret hidden. */
import { formatAmount } from "../../core/amount.ts";
import type { Asset, PolicyBand, Threshold } from "../../core/asset.ts";
import { checksumAddress } from "../../core/hex.ts";
import type { ChainConfig, Config, ReviewConfig } from "./config.ts";
import { formatDuration } from "./duration.ts";
import { hideUrl } from "./hide-url.ts";

/** Plain values for YAML or JSON. Of a URL only scheme, host and port are left. */
export function describeConfig(config: Config): Record<string, unknown> {
  const { database, queue, callbacks } = config;
  return {
    file: config.file,
    dataDir: config.dataDir,
    logLevel: config.logLevel,
    database: {
      ...database,
      url: database.url === null ? "(embedded PostgreSQL in dataDir)" : hideUrl(database.url),
    },
    queue: { url: queue.url === null ? "(the same PostgreSQL)" : hideUrl(queue.url) },
    http: { ...config.http, publicUrl: hideUrl(config.http.publicUrl) },
    callbacks: {
      timeout: formatDuration(callbacks.timeoutMs),
      schedule: callbacks.scheduleMs.map(formatDuration),
      allowPrivateTargets: callbacks.allowPrivateTargets,
      connectTimeout: formatDuration(callbacks.connectTimeoutMs),
      headersTimeout: formatDuration(callbacks.headersTimeoutMs ?? callbacks.timeoutMs),
      bodyTimeout: formatDuration(callbacks.bodyTimeoutMs),
      proxy: callbacks.proxyUrl === null ? "(none)" : hideUrl(callbacks.proxyUrl),
      clientCertificate: callbacks.clientCertificate ?? "(none)",
      disableAfter: formatDuration(callbacks.disableAfterMs),
      concurrency: callbacks.concurrency,
    },
    review: describeReview(config.review),
    sweepInterval: formatDuration(config.sweepIntervalMs),
    lease: formatDuration(config.leaseMs),
    shutdownGrace: formatDuration(config.shutdownGraceMs),
    chains: config.chains.map(describeChain),
  };
}

function describeReview({ fourEyes, limits, senderLists, screening }: ReviewConfig): Record<string, unknown> {
  return {
    fourEyes,
    limits: limits.map(({ chainId, token, currency, decimals, overBaseUnits }) => ({
      currency,
      chain: chainId,
      ...(token === null ? {} : { token: checksumAddress(token) }),
      over: formatAmount(overBaseUnits, decimals),
    })),
    senderLists,
    screening:
      screening === null
        ? "(none)"
        : {
            url: hideUrl(screening.url),
            secret: "(hidden)",
            timeout: formatDuration(screening.timeoutMs),
            schedule: screening.scheduleMs.map(formatDuration),
            onNoAnswer: screening.onNoAnswer,
            concurrency: screening.concurrency,
          },
  };
}

function describeChain(chain: ChainConfig): Record<string, unknown> {
  const native = chain.assets.find((asset) => asset.token === null);
  return {
    id: chain.id,
    name: chain.name,
    nodes: chain.nodes.map((node) => ({
      url: hideUrl(node.url),
      ...(node.wsUrl === null ? {} : { ws: hideUrl(node.wsUrl) }),
      ...(node.maxConcurrency === null ? {} : { maxConcurrency: node.maxConcurrency }),
    })),
    startBlock: chain.startBlock === "latest" ? "latest" : Number(chain.startBlock),
    blockTime: formatDuration(chain.blockTimeMs),
    pollInterval: formatDuration(chain.pollIntervalMs),
    reorgWindow: chain.reorgWindow,
    fetchConcurrency: chain.fetchConcurrency,
    fetchThreads: chain.fetchThreads,
    verification: chain.verification,
    backfill: chain.backfill,
    witnesses: chain.witnesses,
    mempool: chain.mempool,
    ...(native === undefined ? {} : { native: { ...describeAsset(native), internal: chain.internal } }),
    tokens: chain.assets.filter((asset) => asset.token !== null).map(describeAsset),
  };
}

function describeAsset(asset: Asset): Record<string, unknown> {
  return {
    currency: asset.currency,
    ...(asset.token === null ? {} : { address: checksumAddress(asset.token) }),
    decimals: asset.decimals,
    minimum: formatAmount(asset.minimumBaseUnits, asset.decimals),
    confirmations: asset.policy.map((band) => describeBand(band, asset.decimals)),
  };
}

function describeBand(band: PolicyBand, decimals: number): Record<string, unknown> {
  return {
    ...(band.upToBaseUnits === null ? {} : { upTo: formatAmount(band.upToBaseUnits, decimals) }),
    credit: describeThreshold(band.credit),
    unlock: describeThreshold(band.unlock),
  };
}

function describeThreshold({ depth, tag }: Threshold): unknown {
  if (depth !== null && tag !== null) return { depth, and: tag };
  return depth ?? tag;
}
