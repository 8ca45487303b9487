/** What a follower works with. */
import type { BlockHeader, FinalityTag } from "../core/chain.ts";
import type { Deposit } from "../core/deposit.ts";
import type { Database } from "../db/database.ts";
import type { ChainNodes } from "../rpc/chain-nodes.ts";
import type { Clock } from "../runtime/clock.ts";
import type { ChainConfig } from "../runtime/config/config.ts";
import type { Logger } from "../runtime/logger.ts";
import type { FetchThreads } from "./fetch-threads.ts";
import type { IngestContext } from "./ingest-block.ts";
import type { Wakers } from "./wake-workers.ts";

export interface FollowerParts {
  readonly database: Database;
  readonly chain: ChainConfig;
  readonly nodes: ChainNodes;
  readonly ingest: IngestContext;
  readonly wakers: Wakers;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics: FollowerMetrics;
  /** Who holds the lease: this process, by a name an operator recognises. */
  readonly holder: string;
  readonly leaseMs: number;
  /** They help where many blocks are behind; without them this thread does all. */
  readonly threads?: FetchThreads | undefined;
  /** Called when the head was looked at and all of it is ingested, or while another daemon follows the chain. */
  readonly onWell?: (() => void) | undefined;
  /** Called when a deposit was seen whose amount is to be measured. */
  readonly onUnmeasured?: (() => void) | undefined;
  /** Called while the chain catches up, several times a second. */
  readonly onCatchUp?: ((progress: ChainProgress) => void) | undefined;
}

export interface ChainProgress {
  readonly chainId: number;
  readonly name: string;
  /** In blocks, from where it began. */
  readonly done: number;
  readonly total: number;
}

export interface FollowerMetrics {
  onIngested(chainId: number, batch: IngestedBatch): void;
  onReorg(chainId: number, depth: number, orphaned: number, reversed: number): void;
  /** A user had spent what a reorg took back. */
  onShortfall(chainId: number): void;
  /** `safe` or `finalized` went back, or is not known any more. */
  onFinalityLost(chainId: number, tag: FinalityTag): void;
}

export interface IngestedBatch {
  readonly last: BlockHeader;
  readonly blockCount: number;
  readonly transferCount: number;
  readonly deposits: readonly Deposit[];
}
