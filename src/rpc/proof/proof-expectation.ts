/** What a chain is seen to reach, from some of its recent blocks: what the guard then holds it to. */
import type { Verification } from "../../core/verification.ts";
import { provedNames } from "./block-shape.ts";
import { type BlockProof, PROOF_PARTS, type ProofPart } from "./proof-level.ts";

export interface ProofExpectation {
  /** Proved in all of the probed blocks that say anything of them. */
  readonly parts: readonly ProofPart[];
  /** Not proved in at least one of them. A part that no block said anything of is in neither list. */
  readonly shortfalls: readonly ProofPart[];
  /** Names of what was in proved blocks; see `blockShape`. */
  readonly familiar: readonly string[];
}

/**
 * What one block does not reach is expected of none: a chain may be provable in nine blocks of ten. So a node
 * that lies at this moment lowers what is expected; whoever probes asks for a block that falls short at another
 * node too, and compares with what the chain reached before.
 *
 * @param proofs best of blocks with transactions and logs: an empty block proves that its header can be encoded,
 * and nothing of receipts or blooms
 */
export function expectationOf(proofs: readonly BlockProof[]): ProofExpectation {
  const failsIn = (part: ProofPart) => proofs.some((proof) => tellsOf(part, proof) === "fails");
  const holdsIn = (part: ProofPart) => proofs.some((proof) => tellsOf(part, proof) === "holds");
  return {
    parts: PROOF_PARTS.filter((part) => holdsIn(part) && !failsIn(part)),
    shortfalls: PROOF_PARTS.filter(failsIn),
    familiar: [...new Set(proofs.flatMap(provedNames))],
  };
}

/**
 * What a block says of whether its chain proves a part. Empty lists make the same root on every chain, also on
 * those whose receipts cannot be encoded, and so do blooms without logs. A type that cannot be encoded says
 * nothing of the blocks without it.
 */
export function tellsOf(part: ProofPart, proof: BlockProof): "holds" | "fails" | "nothing" {
  const found = proof.parts[part];
  if (!found.isProved) return found.doubt === "not_asked" || found.doubt === "unknown" ? "nothing" : "fails";
  if (part === "bloom") return proof.logCount > 0 ? "holds" : "nothing";
  const isOfTransactions = part === "receipts" || part === "transactions";
  return isOfTransactions && proof.transactionCount === 0 ? "nothing" : "holds";
}

/** The level that blocks of a chain reach which holds these parts. */
export function levelOf(
  parts: readonly ProofPart[],
  shortfalls: { has(part: ProofPart): boolean },
): Verification {
  const isRooted = (["header", "receipts", "withdrawals"] as const).every((part) => parts.includes(part));
  // Blocks that hold a type which cannot be encoded are proved without their transactions' root.
  if (isRooted && !shortfalls.has("transactions")) return "proved";
  return parts.includes("bloom") ? "bloom" : "none";
}
