/**
 * A deposit: a transfer to a watched address, kept for good.
 *
 * Its identity is (chain id, transaction hash, source). Block number and hash are attributes that a reorg may
 * change. The states and the ways between them:
 *
 *   pending   in a canonical block, not deep enough      → credited, held, ignored, orphaned
 *   credited  in the ledger, not yet to be withdrawn     → unlocked, reversed
 *   unlocked  in the ledger, free                        → reversed
 *   held      deep enough, withheld for review           → credited, rejected, orphaned
 *   rejected  reviewed and refused, never in the ledger  → orphaned
 *   ignored   kept and visible, never credited           → orphaned
 *   orphaned  its block left the chain before credit     → pending, ignored
 *   reversed  its block left the chain after credit      → pending, ignored
 *
 * `orphaned` and `reversed` lead back when the transaction is included again; it is judged anew there, so a
 * deposit whose asset is no longer listed comes back as `ignored`. `pending` leads to `ignored` where the recipient's
 * balance is what counts, and too little of what the event told has arrived.
 */
import type { TransferSource } from "./chain.ts";
import { FatalError } from "./errors.ts";
import type { Address, Hash } from "./hex.ts";
import type { Verification } from "./verification.ts";

export const DEPOSIT_STATUSES = [
  "pending",
  "credited",
  "unlocked",
  "held",
  "rejected",
  "ignored",
  "orphaned",
  "reversed",
] as const;
export type DepositStatus = (typeof DEPOSIT_STATUSES)[number];

export const IGNORE_REASONS = ["below_minimum", "unlisted_asset", "own_transfer", "nothing_arrived"] as const;
export type IgnoreReason = (typeof IGNORE_REASONS)[number];

/**
 * Why a deposit was held. Of several that fit, the first here is its reason; operators see all of them.
 *
 * - `sender_listed`: who it is from, or who sent its transaction, is in a list
 * - `screening`: the screening service said `hold`, or `reject` (which leads on to `rejected`)
 * - `screening_no_answer`: the service was asked as often as it may be, and did not answer
 * - `amount_over_limit`: the amount is larger than its asset's limit
 */
export const HOLD_REASONS = [
  "sender_listed",
  "screening",
  "screening_no_answer",
  "amount_over_limit",
] as const;
export type HoldReason = (typeof HOLD_REASONS)[number];

const MOVES: Readonly<Record<DepositStatus, readonly DepositStatus[]>> = {
  pending: ["credited", "held", "ignored", "orphaned"],
  credited: ["unlocked", "reversed"],
  unlocked: ["reversed"],
  held: ["credited", "rejected", "orphaned"],
  rejected: ["orphaned"],
  ignored: ["orphaned"],
  orphaned: ["pending", "ignored"],
  reversed: ["pending", "ignored"],
};

/** The one place that decides whether a deposit may move. */
export function canMove(from: DepositStatus, to: DepositStatus): boolean {
  return MOVES[from].includes(to);
}

/** What a deposit becomes when its block leaves the canonical chain; `null` when it has left already. */
export function statusAfterReorg(status: DepositStatus): "orphaned" | "reversed" | null {
  if (canMove(status, "reversed")) return "reversed";
  if (canMove(status, "orphaned")) return "orphaned";
  return null;
}

/** @throws {FatalError} `illegal_move`: the code asked for a move that the table above does not have. */
export function assertMove(deposit: { id: string; status: DepositStatus }, to: DepositStatus): void {
  if (canMove(deposit.status, to)) return;
  throw new FatalError("illegal_move", `A deposit cannot move from ${deposit.status} to ${to}`, {
    depositId: deposit.id,
    from: deposit.status,
    to,
  });
}

/** The balance counts, and is not known yet: nothing is credited until it is. */
export function isUnmeasured(
  deposit: Pick<Deposit, "status" | "eventAmountBaseUnits" | "balanceNodes">,
): boolean {
  const { status, eventAmountBaseUnits, balanceNodes } = deposit;
  return status === "pending" && eventAmountBaseUnits !== null && balanceNodes === null;
}

/** A deposit as the database holds it, with the words of its asset. */
export interface Deposit {
  readonly id: string;
  /** Counts up with every status change; callbacks carry it so that a late one can be told. */
  readonly sequence: number;
  /** Counts inclusions in a block. A ledger entry belongs to (deposit, generation). */
  readonly generation: number;
  readonly status: DepositStatus;
  readonly reason: string | null;
  readonly merchantId: string;
  readonly userId: string;
  /** The order that its address was made for; `null`: none. */
  readonly orderNo: string | null;
  readonly chainId: number;
  /** `null` when the token is not listed. */
  readonly assetId: number | null;
  readonly currency: string | null;
  readonly decimals: number | null;
  readonly token: Address | null;
  /** What counts. Where the balance does, the event's amount until it is measured. */
  readonly amountBaseUnits: bigint;
  /** What the Transfer event tells, where the balance counts; else `null`. */
  readonly eventAmountBaseUnits: bigint | null;
  /** How many nodes told the balances that the amount was measured by; `null`: not measured. */
  readonly balanceNodes: number | null;
  /** Why it could not be measured yet. */
  readonly measureProblem: string | null;
  readonly from: Address;
  readonly to: Address;
  /** Who sent its transaction, be the money another's; `null` where there is none, or the deposit is older than the column. */
  readonly sender: Address | null;
  readonly txHash: Hash | null;
  readonly source: TransferSource;
  readonly blockNumber: bigint;
  readonly blockHash: Hash;
  readonly blockTime: Date;
  /** How much of this transfer is proved by the hash of its block. */
  readonly verification: Verification;
  /** The threshold in force, as people read it: `"12"`, `"finalized"`, `"12 and safe"`. `null`: never credited. */
  readonly creditAt: string | null;
  readonly unlockAt: string | null;
  readonly detectedAt: Date;
  readonly creditedAt: Date | null;
  readonly unlockedAt: Date | null;
  /** Of a reversed deposit: what the user no longer had of it, and owes since. */
  readonly shortfallBaseUnits: bigint | null;
}
