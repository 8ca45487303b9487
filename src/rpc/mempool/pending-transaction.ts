/** Checks a transaction that is not in a block yet, as nodes tell of it in four different answers. */
import type { Address, Hash } from "../../core/hex.ts";
import {
  AnswerRefused,
  expectHash,
  type Fields,
  readAddress,
  readFields,
  readHash,
  readOptionalAddress,
  readQuantity,
  readSafeNumber,
} from "../answer.ts";

export interface PendingTransaction {
  readonly hash: Hash;
  readonly from: Address;
  /** `null` makes a contract. */
  readonly to: Address | null;
  readonly nonce: bigint;
  readonly valueWei: bigint;
  /** As much of it as a token transfer needs; whether it is hexadecimal is for the one who decodes it to see. */
  readonly input: string;
}

/** `0x`, a selector and three words: what `transferFrom` takes. The rest of a large input is let go at once. */
const KEPT_INPUT = 2 + 8 + 3 * 64;

/** EIP-2681: a nonce is below 2⁶⁴ − 1; a bigint column ends at half of that, which nobody will ever reach. */
const MAX_NONCE = 2n ** 63n - 1n;

/**
 * Types are not looked at: a transaction of an unknown type still has a sender, a nonce, a recipient and a value.
 *
 * @throws {AnswerRefused}
 */
export function readPending(answer: unknown, chainId: number): PendingTransaction {
  const fields = readFields(answer, "A pending transaction");
  expectChain(fields, chainId);
  const nonce = BigInt(readQuantity(fields, "nonce"));
  if (nonce > MAX_NONCE) throw new AnswerRefused("nonce is out of range", { field: "nonce" });
  return {
    hash: readHash(fields, "hash"),
    from: readAddress(fields, "from"),
    to: readOptionalAddress(fields, "to"),
    nonce,
    valueWei: BigInt(readQuantity(fields, "value")),
    input: readInput(fields),
  };
}

/** Where a transaction is, by a node's word. */
export type Whereabouts =
  | { readonly is: "waiting" }
  | { readonly is: "mined"; readonly block: { readonly number: bigint; readonly hash: Hash } }
  | { readonly is: "unknown" };

/** @throws {AnswerRefused} */
export function readWhereabouts(answer: unknown, hash: Hash): Whereabouts {
  if (answer === null) return { is: "unknown" };
  const fields = readFields(answer, "The transaction");
  expectHash(fields, "hash", hash);
  const { blockHash } = fields;
  if (blockHash === null || blockHash === undefined) return { is: "waiting" };
  const block = {
    number: BigInt(readSafeNumber(fields, "blockNumber")),
    hash: readHash(fields, "blockHash"),
  };
  return { is: "mined", block };
}

/** Old transactions name no chain, and then any chain may be meant; one that names another is not of ours. */
function expectChain(fields: Fields, chainId: number): void {
  const named = fields["chainId"];
  if (named === null || named === undefined) return;
  if (readSafeNumber(fields, "chainId") === chainId) return;
  throw new AnswerRefused("The pending transaction is of another chain", { field: "chainId" });
}

/**
 * `input`, or `data` as some call it. Cut from a copy: a piece of a text keeps the whole of it in memory.
 */
function readInput(fields: Fields): string {
  const input = fields["input"] ?? fields["data"] ?? "0x";
  if (typeof input !== "string") throw new AnswerRefused("input is not text", { field: "input" });
  return input.length <= KEPT_INPUT
    ? input
    : Buffer.from(input.slice(0, KEPT_INPUT), "latin1").toString("latin1");
}
