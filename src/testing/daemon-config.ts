/** Config files for daemons under test, in the words of `config/depositd.yaml`. */
import { stringify } from "yaml";
import type { Address } from "../core/hex.ts";

export interface DaemonChain {
  readonly id: number;
  readonly nodes: readonly { readonly url: string; readonly ws?: string }[];
  readonly startBlock: number | "latest";
  readonly confirmations: unknown;
  readonly [key: string]: unknown;
}

export interface DaemonConfig {
  /** `null`: the embedded PostgreSQL in the daemon's own folder. */
  readonly databaseUrl: string | null;
  /** `null`: BullMQ on the same PostgreSQL. */
  readonly redisUrl: string | null;
  readonly chains: readonly DaemonChain[];
  /** Merged over the rest, top-level keys whole. */
  readonly more?: Readonly<Record<string, unknown>>;
}

export interface ChainAssets {
  /** In decimals of the native coin; it is listed always. */
  readonly nativeMinimum?: string;
  readonly tokens?: readonly {
    readonly currency: string;
    readonly address: Address;
    readonly decimals: number;
    readonly minimum?: string;
  }[];
}

/** A chain that is polled fast, credits at depth 3 and unlocks at depth 5, if nothing else is said. */
export function chainOf(
  node: { readonly chainId: number; readonly url: string; readonly wsUrl?: string },
  assets: ChainAssets = {},
  more: Readonly<Record<string, unknown>> = {},
): DaemonChain {
  return {
    id: node.chainId,
    name: `test ${node.chainId}`,
    nodes: [node.wsUrl === undefined ? { url: node.url } : { url: node.url, ws: node.wsUrl }],
    startBlock: 0,
    blockTime: "200ms",
    pollInterval: "50ms",
    reorgWindow: 64,
    confirmations: { credit: 3, unlock: 5 },
    native: { currency: "ETH", decimals: 18, minimum: assets.nativeMinimum ?? "0.001", internal: "none" },
    tokens: assets.tokens ?? [],
    ...more,
  };
}

/** Everything that makes waiting shorter is set; what decides about money is as it is by default. */
export function toYaml(config: DaemonConfig, dataDir: string): string {
  return stringify({
    database: { url: config.databaseUrl ?? "" },
    queue: { url: config.redisUrl ?? "" },
    dataDir,
    logLevel: "debug",
    http: { host: "127.0.0.1", port: 0 },
    callbacks: {
      timeout: "5s",
      schedule: ["0s", "100ms", "200ms", "400ms", "1s", "1s", "1s", "1s", "1s", "1s"],
      allowPrivateTargets: true,
    },
    sweepInterval: "500ms",
    lease: "1s",
    chains: config.chains,
    ...config.more,
  });
}
