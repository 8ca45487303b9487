/** What a chain is seen to reach, from some of its recent blocks: what the guard then holds it to. */
import { provedNames } from "./proof-guard.ts";
import {
  type BlockProof,
  PROOF_LEVELS,
  PROOF_PARTS,
  type ProofLevel,
  type ProofPart,
} from "./proof-level.ts";

export interface ProofExpectation {
  /** The lowest of all probed blocks. */
  readonly level: ProofLevel;
  /** Proved in all of them. */
  readonly parts: readonly ProofPart[];
  /** Names of what was in proved blocks; see `blockShape`. */
  readonly familiar: readonly string[];
  /** Why the level is not a higher one: a sentence for each thing that was not proved. */
  readonly shortfalls: readonly string[];
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
  const parts = PROOF_PARTS.filter((part) => isReached(part, proofs));
  const lowest = lowestLevel(proofs);
  return {
    // Blooms of blocks without logs are equal on every chain, also on those whose blooms are always empty.
    level: lowest === "bloom" && !parts.includes("bloom") ? "none" : lowest,
    parts,
    familiar: [...new Set(proofs.flatMap(provedNames))],
    shortfalls: [...new Set(proofs.flatMap((proof) => proof.unproved))],
  };
}

function isReached(part: ProofPart, proofs: readonly BlockProof[]): boolean {
  const telling = proofs.filter((proof) => isTelling(part, proof));
  return telling.length > 0 && telling.every((proof) => proof.parts[part].isProved);
}

/** A type that cannot be encoded says nothing of the blocks without it. */
function isTelling(part: ProofPart, proof: BlockProof): boolean {
  const found = proof.parts[part];
  if (found.isProved) return part !== "bloom" || proof.logCount > 0;
  return found.doubt !== "not_asked" && found.doubt !== "unknown";
}

function lowestLevel(proofs: readonly BlockProof[]): ProofLevel {
  if (proofs.length === 0) return "none";
  const lowest = Math.min(...proofs.map((proof) => PROOF_LEVELS.indexOf(proof.level)));
  return PROOF_LEVELS[lowest] ?? "none";
}
