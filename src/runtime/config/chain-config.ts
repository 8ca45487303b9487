/** A chain as written becomes a chain in force: what it left out comes from the known chain, or from a rule. */
import { availableParallelism } from "node:os";
import { parseAmount } from "../../core/amount.ts";
import type { Asset, PolicyBand } from "../../core/asset.ts";
import { FatalError } from "../../core/errors.ts";
import type { Address } from "../../core/hex.ts";
import type { ChainShape, KnownChain, NativeShape, TokenShape } from "./chain-shape.ts";
import type { ChainConfig } from "./config.ts";
import type { BandShape } from "./policy-shape.ts";

/** Deeper than any reorg seen on a chain with finality, small enough to read at every start (some 30 kB). */
const DEFAULT_REORG_WINDOW = 256;

/**
 * Blocks fetched at once while catching up. At 1 to 2 MB for a busy block with its receipts this holds some
 * 32 MB; beyond it the node, not the wait for it, is the limit.
 */
const DEFAULT_FETCH_CONCURRENCY = 16;

/** Beside the thread that matches and commits, and takes its share: more than two threads outrun it. */
export const DEFAULT_FETCH_THREADS = Math.min(2, availableParallelism() - 1);

export function toChainConfig(shape: ChainShape, known: KnownChain | undefined): ChainConfig {
  const blockTimeMs = shape.blockTime ?? said(known?.blockTime);
  const policy = shape.confirmations ?? said(known?.confirmations);
  const native = shape.native === undefined ? [] : [toAsset(shape.id, null, shape.native, policy)];
  return {
    id: shape.id,
    name: shape.name ?? said(known?.name),
    nodes: shape.nodes.map((node) => ({
      url: node.url,
      wsUrl: node.ws,
      maxConcurrency: node.maxConcurrency ?? null,
    })),
    startBlock: shape.startBlock === "latest" ? "latest" : BigInt(shape.startBlock),
    blockTimeMs,
    pollIntervalMs: shape.pollInterval ?? pollInterval(blockTimeMs),
    reorgWindow: shape.reorgWindow ?? known?.reorgWindow ?? DEFAULT_REORG_WINDOW,
    fetchConcurrency: shape.fetchConcurrency ?? DEFAULT_FETCH_CONCURRENCY,
    fetchThreads: shape.fetchThreads ?? DEFAULT_FETCH_THREADS,
    backfill: shape.backfill,
    mempool: shape.mempool,
    // A native coin that is not listed is not looked for at all.
    internal: shape.native?.internal ?? "none",
    nativeSource: shape.native?.source ?? "value",
    verification: shape.verification,
    witnesses: shape.witnesses,
    ownWallets: shape.ownWallets,
    assets: [...native, ...shape.tokens.map((token) => toAsset(shape.id, token.address, token, policy))],
  };
}

/**
 * Half a block time: a new block waits a quarter of one on average. Not above 1 s, which costs a node nothing;
 * not below 100 ms, which costs a hosted node's allowance and finds nothing sooner.
 */
function pollInterval(blockTimeMs: number): number {
  return Math.min(1_000, Math.max(100, Math.round(blockTimeMs / 2)));
}

function toAsset(
  chainId: number,
  token: Address | null,
  shape: NativeShape | TokenShape,
  chainPolicy: readonly BandShape[],
): Asset {
  const toBand = (band: BandShape): PolicyBand => ({
    upToBaseUnits: band.upTo === null ? null : parseAmount(band.upTo, shape.decimals),
    credit: band.credit,
    unlock: band.unlock,
  });
  return {
    chainId,
    token,
    currency: shape.currency,
    decimals: shape.decimals,
    amountFrom: ("amountFrom" in shape ? shape.amountFrom : undefined) ?? "event",
    minimumBaseUnits: parseAmount(shape.minimum ?? "0", shape.decimals),
    policy: (shape.confirmations ?? chainPolicy).map(toBand),
  };
}

/** The checks before have seen to it: an unknown chain says everything itself. */
function said<Value>(value: Value | undefined): Value {
  if (value === undefined)
    throw new FatalError("internal", "A chain without its own words was let through the checks");
  return value;
}
