/** What a chain is made of, as far as deposits need it. */
import type { Address, Hash } from "./hex.ts";
import type { BlockVerification } from "./verification.ts";

/** A block named so that no other branch's block can be mistaken for it. */
export interface BlockRef {
  readonly number: bigint;
  readonly hash: Hash;
  readonly parentHash: Hash;
}

/** A block ref with its own time. */
export interface BlockHeader extends BlockRef {
  /** Seconds since 1970, as the block says. */
  readonly timestamp: number;
}

/** Block tags of the consensus layer that a policy can wait for. */
export const FINALITY_TAGS = ["safe", "finalized"] as const;
export type FinalityTag = (typeof FINALITY_TAGS)[number];

/**
 * One movement of value seen in a block. `token` is `null` for the native coin; `txHash` is `null` only for a
 * validator's withdrawal.
 */
export interface Transfer {
  readonly txHash: Hash | null;
  readonly source: TransferSource;
  readonly token: Address | null;
  readonly from: Address;
  readonly to: Address;
  readonly amountBaseUnits: bigint;
  /** Who sent its transaction, be the money another's; `null` for a validator's withdrawal. */
  readonly sender: Address | null;
}

/**
 * Where in its transaction the value moved. It survives a reorg that includes the same transaction again at
 * another place, which the block's own log index does not.
 *
 * - `value`: the transaction's own value
 * - `log:<i>`: the i-th log within that transaction's receipt
 * - `trace:<path>`: an inner call, e.g. `trace:0.2`
 * - `withdrawal:<index>`: a validator's withdrawal (EIP-4895), unique on its chain
 */
export type TransferSource = "value" | `log:${number}` | `trace:${string}` | `withdrawal:${string}`;

/** A block with every transfer of value in it, whoever received it. */
export interface BlockTransfers {
  readonly block: BlockHeader;
  readonly verification: BlockVerification;
  readonly transfers: TransferList;
}

/** As it comes from its block. */
export interface ListedTransfers extends BlockTransfers {
  readonly transfers: readonly Transfer[];
}

/** Transfers in the order of their block: an array of them, or packed until somebody looks at one. */
export interface TransferList {
  readonly length: number;
  /** Those to recipients that are wanted. */
  filter(isWanted: (transfer: Pick<Transfer, "to">) => boolean): Transfer[];
  /** Where they are packed: whether it is sure, without unpacking, that none goes to an address of the table. */
  isForNoneOf?(table: RecipientTable): boolean;
}

export interface RecipientTable {
  readonly size: number;
  /** @param packed addresses of 20 bytes each, one after the other */
  mayContainAny(packed: Uint8Array): boolean;
}

/**
 * How transfers of the native coin are found. `value`: by transactions' values, and traces where they are asked
 * for. `eip7708`: by the logs that a chain with EIP-7708 writes for every one of them, inner calls included.
 */
export const NATIVE_SOURCES = ["value", "eip7708"] as const;
export type NativeSource = (typeof NATIVE_SOURCES)[number];

/** EIP-7708: the system address whose Transfer logs repeat native transfers. It is never a token. */
export const NATIVE_LOG_ADDRESS: Address = "0xfffffffffffffffffffffffffffffffffffffffe";
