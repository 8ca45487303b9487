/**
 * Proves blocks for somebody else to judge: a verifier that refuses nothing, and remembers of each block which node
 * told it and what it proves. A block of it is not verified until that was judged.
 */
import { type BlockVerification, UNVERIFIED, type VerificationMode } from "../core/verification.ts";
import { type ChainVerifier, UNKNOWN } from "./chain-verifier.ts";
import { type BlockProof, proveBlock } from "./proof/proof-level.ts";
import { createRlpWriter } from "./proof/rlp.ts";

/** What a verifier of the chain judges a block by. Can be handed from thread to thread. */
export interface BlockClaim {
  readonly node: string;
  /** `null` where the chain asks for no proofs. */
  readonly proof: BlockProof | null;
}

export interface BlockClaims {
  readonly verifier: ChainVerifier;
  /** @param verification of a block that was fetched with this verifier */
  claimOf(verification: BlockVerification): BlockClaim;
}

export function createBlockClaims(mode: VerificationMode): BlockClaims {
  const writer = createRlpWriter();
  const claims = new WeakMap<BlockVerification, BlockClaim>();
  const judge = (node: string, _number: bigint, proof: BlockProof | null): BlockVerification => {
    const verification = { ...UNVERIFIED };
    claims.set(verification, { node, proof });
    return verification;
  };
  return {
    verifier: {
      restore: () => undefined,
      ready: async () => undefined,
      verify: (node, number, block) =>
        judge(node, number, mode === "none" ? null : proveBlock(block, writer)),
      judge,
      state: () => UNKNOWN,
      takeChange: () => null,
    },
    claimOf: (verification) => {
      const claim = claims.get(verification);
      if (claim === undefined) throw new RangeError("A block was fetched with another verifier");
      return claim;
    },
  };
}
