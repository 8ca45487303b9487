/** The config of a chain under test, as it is after all defaults. */
import type { ChainConfig, NodeConfig } from "../runtime/config/config.ts";
import { assetOf, CHAIN_ID } from "./factory.ts";

/** Polled fast; ether is listed, credited at depth 3 and unlocked at depth 5. */
export function testChain(
  nodes: readonly (string | NodeConfig)[],
  more: Partial<ChainConfig> = {},
): ChainConfig {
  return {
    id: CHAIN_ID,
    name: "local",
    nodes: nodes.map((node) =>
      typeof node === "string" ? { url: node, wsUrl: null, maxConcurrency: null } : node,
    ),
    startBlock: 0n,
    blockTimeMs: 1_000,
    pollIntervalMs: 50,
    reorgWindow: 64,
    fetchConcurrency: 4,
    fetchThreads: 0,
    backfill: "auto",
    mempool: false,
    internal: "none",
    nativeSource: "value",
    verification: "auto",
    witnesses: 1,
    ownWallets: [],
    assets: [assetOf()],
    ...more,
  };
}
