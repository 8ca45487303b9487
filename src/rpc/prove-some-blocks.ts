/** Proves some blocks of a chain, to find out what the rest can be held to. */
import type { BlockHeader } from "../core/chain.ts";
import { DepositdError } from "../core/errors.ts";
import { isBelow } from "../core/verification.ts";
import type { Failover } from "./failover.ts";
import type { ChainNode } from "./node.ts";
import type { BlockProof } from "./proof/proof-level.ts";

/** The newest, so that at least some of them have transactions; as many as the rhythm of old Polygon is long. */
const RECENT_BLOCKS = 16;
/** From the one on that is asked for next: a chain may prove today what it did not years ago. */
const NEXT_BLOCKS = 4;
const AT_ONCE = 4;

export interface ProvingNodes {
  readonly failover: Failover;
  /** Whom to ask for a block, in which order. */
  order(number: bigint): () => readonly ChainNode[];
  head(signal?: AbortSignal): Promise<BlockHeader>;
}

/**
 * Blocks that no node tells, as those of a branch that is left at this moment, are passed over.
 *
 * @param nextNumber the block that will be asked for next, if that is known
 * @throws {DepositdError} when there is no other
 */
export async function proveSomeBlocks(
  nodes: ProvingNodes,
  nextNumber: bigint | null,
  signal?: AbortSignal,
): Promise<BlockProof[]> {
  const head = await nodes.head(signal);
  const numbers = probedNumbers(head.number, nextNumber);
  const proofs: BlockProof[] = [];
  const failures: DepositdError[] = [];
  for (let start = 0; start < numbers.length; start += AT_ONCE) {
    const some = numbers.slice(start, start + AT_ONCE).map((number) => proveOne(nodes, number, signal));
    for (const outcome of await Promise.allSettled(some)) {
      if (outcome.status === "fulfilled") proofs.push(outcome.value);
      else if (outcome.reason instanceof DepositdError) failures.push(outcome.reason);
      else throw outcome.reason;
    }
  }
  const [first] = failures;
  if (first !== undefined && proofs.length === 0) throw first;
  return proofs;
}

/** The genesis block is left out: nobody was paid in it, and nodes make it up from their settings. */
function probedNumbers(head: bigint, next: bigint | null): bigint[] {
  const recent = numbersFrom(head - BigInt(RECENT_BLOCKS) + 1n, RECENT_BLOCKS);
  const ahead = next === null ? [] : numbersFrom(next, NEXT_BLOCKS);
  return [...new Set([...ahead, ...recent])].filter((number) => number > 0n && number <= head);
}

function numbersFrom(first: bigint, count: number): bigint[] {
  return Array.from({ length: count }, (_, offset) => first + BigInt(offset));
}

/** The best of what the nodes tell: one that lies at this moment must not lower what is expected. */
async function proveOne(
  { order, failover }: ProvingNodes,
  number: bigint,
  signal?: AbortSignal,
): Promise<BlockProof> {
  const told: BlockProof[] = [];
  const question = async (node: ChainNode) => {
    const proof = await node.proofByNumber(number, signal);
    told.push(proof);
    return proof;
  };
  const isEnough = (proof: BlockProof) => proof.level === "proved";
  const last = await failover({ order: order(number), question, isEnough }, signal);
  return told.reduce((best, proof) => (isBelow(best.level, proof.level) ? proof : best), last);
}
