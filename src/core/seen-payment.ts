/**
 * A seen payment: a transaction that waits in the mempool and would pay a watched address. It is never a deposit
 * and never counted; it may be replaced, dropped, or fail in its block.
 *
 *   seen      a node has it waiting                                   → mined, replaced, dropped
 *   mined     it is in a block that was ingested                      → seen (its block left the chain)
 *   replaced  another transaction took its nonce                      → seen, mined
 *   dropped   no node knows it any more, and its nonce is still free  → seen, mined
 *
 * None of the last three is final: a mempool is hearsay, and a block may take up what every node had forgotten.
 */
import type { Address, Hash } from "./hex.ts";

export const SEEN_STATUSES = ["seen", "mined", "replaced", "dropped"] as const;
export type SeenStatus = (typeof SEEN_STATUSES)[number];

const MOVES: Readonly<Record<SeenStatus, readonly SeenStatus[]>> = {
  seen: ["mined", "replaced", "dropped"],
  mined: ["seen"],
  replaced: ["seen", "mined"],
  dropped: ["seen", "mined"],
};

/** The one place that decides whether a seen payment may move. */
export function canSeenPaymentMove(from: SeenStatus, to: SeenStatus): boolean {
  return MOVES[from].includes(to);
}

/**
 * Where in its transaction the value would move: `value`, the transaction's own; `call`, a token's `transfer` or
 * `transferFrom`, whose log has no place before it is mined.
 */
export const SEEN_SOURCES = ["value", "call"] as const;
export type SeenSource = (typeof SEEN_SOURCES)[number];

/** A movement of value that a waiting transaction asks for. */
export interface PendingTransfer {
  readonly txHash: Hash;
  readonly source: SeenSource;
  /** `null` for the native coin. */
  readonly token: Address | null;
  /** Whose money it is. */
  readonly from: Address;
  readonly to: Address;
  readonly amountBaseUnits: bigint;
  /** Who signed it. */
  readonly sender: Address;
  readonly nonce: bigint;
}

/** A seen payment as the database holds it, with the words of its asset. */
export interface SeenPayment extends PendingTransfer {
  readonly id: string;
  /** Counts up with every status change, like a deposit's. */
  readonly sequence: number;
  readonly status: SeenStatus;
  readonly merchantId: string;
  readonly userId: string;
  /** The order that its address was made for; `null`: none. */
  readonly orderNo: string | null;
  readonly chainId: number;
  readonly currency: string;
  readonly decimals: number;
  /** The thresholds that a deposit of this amount would have had when it was seen. */
  readonly creditAt: string;
  readonly unlockAt: string;
  /** What took its nonce, where somebody saw it. */
  readonly replacedBy: Hash | null;
  /** Of a mined one. */
  readonly block: { readonly number: bigint; readonly hash: Hash } | null;
  /** The deposits its transaction made for this address; none when it failed. */
  readonly depositIds: readonly string[];
  readonly detectedAt: Date;
  readonly changedAt: Date;
}
