/**
 * What it means that a part of a block is proved: what the node told of it makes, encoded as the protocol has it
 * and hashed, exactly the hash that stands in the block's header (or, for the header, the block's own hash).
 *
 * The code below it throws `Unprovable` wherever it cannot go on; `attempt` makes an answer of that. What a node
 * says never crashes anything.
 */

/**
 * Why a part is not proved:
 *
 * - `differs`: it was computed, and it is not what stands in the header. Something is missing, forged or mixed up.
 * - `unreadable`: a field that the protocol has is missing or malformed.
 * - `unknown`: it holds something this program does not know how to encode, so nothing follows.
 * - `not_asked`: whoever asked the node did not ask for this part.
 */
export type Doubt = "differs" | "unreadable" | "unknown" | "not_asked";

export type Proof =
  | { readonly isProved: true }
  | { readonly isProved: false; readonly doubt: Doubt; readonly reason: string };

export const PROVED: Proof = { isProved: true };

export function unproved(doubt: Doubt, reason: string): Proof {
  return { isProved: false, doubt, reason };
}

/** A part cannot be proved. Never leaves this folder. */
export class Unprovable extends Error {
  readonly doubt: Doubt;

  constructor(doubt: Doubt, reason: string) {
    super(reason);
    this.doubt = doubt;
  }
}

/** The proof that `work` gives, or what stood in its way. The writer is left as it was found. */
export function attempt(writer: { size: number }, work: () => Proof): Proof {
  const { size } = writer;
  try {
    return work();
  } catch (rawError) {
    if (rawError instanceof Unprovable) return unproved(rawError.doubt, rawError.message);
    throw rawError;
  } finally {
    writer.size = size;
  }
}

/** @param claimed as the node told it, in whatever case */
export function compareHashes(what: string, computed: string, claimed: unknown): Proof {
  if (isSame(computed, claimed)) return PROVED;
  if (typeof claimed !== "string") return unproved("unreadable", `${what} is missing`);
  return unproved("differs", `${what} is ${quote(claimed)}, but what was told makes ${computed}`);
}

/** @param computed in lower case */
export function isSame(computed: string, told: unknown): boolean {
  return computed === told || (typeof told === "string" && computed === told.toLowerCase());
}

/**
 * What a node told, for a reason. It may be of any length, and need not be text: `String` throws for an object
 * that JSON gave a `toString` of its own.
 */
export function quote(told: unknown): string {
  if (typeof told !== "string") return told === null ? "null" : typeof told;
  return told.length > 70 ? `${told.slice(0, 70)}…` : told;
}
