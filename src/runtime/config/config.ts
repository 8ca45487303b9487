/** The configuration in force: checked, with units in its names, and frozen. `read-config.ts` makes it. */
import type { Asset } from "../../core/asset.ts";
import type { NativeSource } from "../../core/chain.ts";
import type { Address } from "../../core/hex.ts";
import type { VerificationMode } from "../../core/verification.ts";
import type { LogLevel } from "../logger.ts";

export const BACKFILLS = ["auto", "blocks", "logs"] as const;
export type Backfill = (typeof BACKFILLS)[number];

/** What becomes of a deposit whose screening was never answered. */
export const NO_ANSWER_CHOICES = ["hold", "approve"] as const;
export type NoAnswerChoice = (typeof NO_ANSWER_CHOICES)[number];

export interface Config {
  /** The file it was read from, absolute. */
  readonly file: string;
  readonly dataDir: string;
  readonly logLevel: LogLevel;
  readonly database: DatabaseConfig;
  readonly queue: QueueConfig;
  readonly http: HttpConfig;
  readonly callbacks: CallbacksConfig;
  readonly review: ReviewConfig;
  /** How often work is looked for that no job spoke of. Losing the queue delays work by this at most. */
  readonly sweepIntervalMs: number;
  /** A follower that stops renewing loses its chain after this. */
  readonly leaseMs: number;
  /** How long a stop may take before what is left is handed back. */
  readonly shutdownGraceMs: number;
  readonly chains: readonly ChainConfig[];
}

export interface DatabaseConfig {
  /** `null`: an embedded PostgreSQL under `dataDir`. */
  readonly url: string | null;
  readonly maxConnections: number;
  /** Whether `start` applies migrations itself. */
  readonly migrate: boolean;
}

export interface QueueConfig {
  /** `null`: BullMQ on the same PostgreSQL; else a `redis://` or `rediss://` URL. */
  readonly url: string | null;
}

export interface HttpConfig {
  readonly host: string;
  /** Of the API; with 0 the system chooses a free one. */
  readonly port: number;
  /** Where a process without the API serves pages about itself; `null`: nowhere. */
  readonly pagesPort: number | null;
  readonly publicUrl: string;
}

export interface CallbacksConfig {
  /** For one attempt as a whole. */
  readonly timeoutMs: number;
  /** Wait before each attempt, counted from the one before; of the first from the event, usually 0. */
  readonly scheduleMs: readonly number[];
  /** Callback URLs may be plain http and lead to private addresses: a developer's machine only. */
  readonly allowPrivateTargets: boolean;
  /** For name and connection, and as much again for the TLS handshake. */
  readonly connectTimeoutMs: number;
  /** From the request to the answer's headers. `null`: only the attempt's own limit holds. */
  readonly headersTimeoutMs: number | null;
  /** For the next piece of the answer's body. */
  readonly bodyTimeoutMs: number;
  /** An HTTP proxy that all callbacks go through; may hold a password. */
  readonly proxyUrl: string | null;
  /** Files of the certificate that callbacks show where an endpoint asks for one. */
  readonly clientCertificate: { readonly certFile: string; readonly keyFile: string } | null;
  /** An endpoint whose attempts failed for so long, without one that succeeded, is disabled. */
  readonly disableAfterMs: number;
  /** Attempts under way at once in this process. */
  readonly concurrency: number;
}

/** What holds a deposit back before it is credited, and how it is let go. */
export interface ReviewConfig {
  /** A held deposit is released or rejected by two different operators. */
  readonly fourEyes: boolean;
  /** At most one for each configured asset. */
  readonly limits: readonly ReviewLimit[];
  /** Files, absolute: deposits from the addresses in them are held. */
  readonly senderLists: readonly string[];
  /** `null`: no service is asked. */
  readonly screening: ScreeningConfig | null;
}

/** Larger deposits of this asset are held. */
export interface ReviewLimit {
  readonly chainId: number;
  /** `null` for the native coin. */
  readonly token: Address | null;
  readonly currency: string;
  readonly decimals: number;
  readonly overBaseUnits: bigint;
}

/** A service of the operator's that is asked about each deposit before it is credited. */
export interface ScreeningConfig {
  readonly url: string;
  /** What the questions are signed with (HMAC-SHA256, Standard Webhooks), base64. */
  readonly secret: string;
  /** For one question as a whole. */
  readonly timeoutMs: number;
  /** Wait before each attempt, counted from the one before. */
  readonly scheduleMs: readonly number[];
  /** What holds when the last attempt brought no answer. */
  readonly onNoAnswer: NoAnswerChoice;
  /** Questions under way at once in this process. */
  readonly concurrency: number;
}

export interface ChainConfig {
  readonly id: number;
  readonly name: string;
  readonly nodes: readonly NodeConfig[];
  /** Where a chain never followed before begins. */
  readonly startBlock: bigint | "latest";
  readonly blockTimeMs: number;
  readonly pollIntervalMs: number;
  /** How many block refs are kept: the deepest reorg that is undone without a person. */
  readonly reorgWindow: number;
  /** Blocks fetched at once while catching up. */
  readonly fetchConcurrency: number;
  /** Threads that help to fetch and prove blocks while many are behind; 0: none. */
  readonly fetchThreads: number;
  /**
   * How the past is read below the finalized block. `blocks`: every block as a whole. `logs`: where the native coin
   * is not listed, ranges of logs say which blocks to read. `auto`: so, with two nodes and few addresses.
   */
  readonly backfill: Backfill;
  /** Payments are shown, and told where asked for, while they wait in the mempool. */
  readonly mempool: boolean;
  /** Inner calls that move the native coin: found by tracing every block, or declared as not looked for. */
  readonly internal: "trace" | "none";
  readonly nativeSource: NativeSource;
  /** What every block has to prove; `none`: nothing is proved, nor looked at. */
  readonly verification: VerificationMode;
  /** How many nodes must hold a block before its deposits are credited or unlocked. */
  readonly witnesses: number;
  /** Wallets of the merchants' own, whose transfers to watched addresses are no deposits. */
  readonly ownWallets: readonly Address[];
  /** The native coin first (if it is listed), then the tokens. */
  readonly assets: readonly Asset[];
}

export interface NodeConfig {
  readonly url: string;
  /** WebSocket URL for new-head hints; polling goes on without it. */
  readonly wsUrl: string | null;
  /** Requests at once, at most; `null`: as many as it turns out to take. */
  readonly maxConcurrency: number | null;
}
