/** What the follower and its threads say to each other. All of it can be cloned. */
import type { BlockHeader } from "../core/chain.ts";
import type { SharedTable } from "../matcher/address-table.ts";
import type { BlockClaim } from "../rpc/block-claims.ts";
import type { ChainConfig } from "../runtime/config/config.ts";
import type { LogFields } from "../runtime/logger.ts";
import type { PackedTransfers } from "./pack-transfers.ts";

/** What a thread begins with. */
export interface FetchedChain
  extends Pick<ChainConfig, "id" | "nodes" | "internal" | "blockTimeMs" | "verification" | "nativeSource"> {}

export type ToThread =
  /** Comes first, and again when it has become another one. */
  | { readonly kind: "watch"; readonly table: SharedTable }
  | { readonly kind: "fetch"; readonly id: number; readonly number: bigint }
  | { readonly kind: "cancel"; readonly id: number };

export type FromThread =
  | { readonly kind: "block"; readonly id: number; readonly block: ClaimedBlock }
  | { readonly kind: "failed"; readonly id: number; readonly reason: string }
  | {
      readonly kind: "log";
      readonly level: "debug" | "info" | "warn" | "error";
      readonly sentence: string;
      readonly fields: LogFields;
    };

/** Checked and proved, and not judged yet: its `verification` says nothing. */
export interface ClaimedBlock {
  readonly header: BlockHeader;
  readonly transfers: PackedTransfers;
  readonly claim: BlockClaim;
}
