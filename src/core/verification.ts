/**
 * How much of what a node told is proved: recorded with each block and each deposit, and shown wherever they are.
 * `docs/verification.md` tells operators what each level promises.
 */
import type { TransferSource } from "./chain.ts";

/**
 * From the weakest to the strongest.
 *
 * - `proved`  what was told makes the roots in the block's header, and the header the block's hash
 * - `bloom`   the logs make the bloom in the header: most omissions would show, wrong amounts would not
 * - `none`    the answer agrees with itself, and that is all
 */
export const VERIFICATIONS = ["none", "bloom", "proved"] as const;
export type Verification = (typeof VERIFICATIONS)[number];

/** What every block of a chain has to reach. `auto`: what the chain was seen to reach. */
export const VERIFICATION_MODES = ["auto", "proved", "bloom", "none"] as const;
export type VerificationMode = (typeof VERIFICATION_MODES)[number];

export function isBelow(level: Verification, floor: Verification): boolean {
  return VERIFICATIONS.indexOf(level) < VERIFICATIONS.indexOf(floor);
}

/** A block's level, and what follows for each kind of transfer in it: not all of them stand in a root. */
export interface BlockVerification {
  readonly level: Verification;
  /** Token transfers: their contract, parties and amount, their place, and their transaction's hash. */
  readonly logs: Verification;
  /** Values of transactions: amount, recipient, success and hash; not the sender. */
  readonly values: Verification;
  readonly withdrawals: Verification;
}

/** Nothing was looked at. */
export const UNVERIFIED: BlockVerification = {
  level: "none",
  logs: "none",
  values: "none",
  withdrawals: "none",
};

/** How much of one transfer is proved. A trace stands in no root, so an inner call never is. */
export function verificationOf(source: TransferSource, block: BlockVerification): Verification {
  if (source === "value") return block.values;
  if (source.startsWith("log:")) return block.logs;
  return source.startsWith("withdrawal:") ? block.withdrawals : "none";
}

/** What a chain was seen to reach, as it is remembered from one start to the next. */
export interface VerificationMemory {
  /** Parts of the proof that every block has to hold; see `PROOF_PARTS`. */
  readonly parts: readonly string[];
  /** Parts that some block did not prove. */
  readonly shortfalls: readonly string[];
  /** Names of what was in proved blocks; see `blockShape`. */
  readonly familiar: readonly string[];
}

/** How a chain's proofs are going. */
export interface VerificationState {
  /** Of the newest block that was accepted; `null` before the first. */
  readonly level: Verification | null;
  /** What a block of this chain reaches, as far as is known; `null` before it was found out. */
  readonly expected: Verification | null;
  /** Why less is proved than the chain reaches; `null` while all of it is. */
  readonly alarm: string | null;
  readonly memory: VerificationMemory | null;
}
