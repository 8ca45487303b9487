/**
 * The encoding of a transaction, from its JSON: what its hash and the transactions' root are made of, and what
 * its sender signed.
 */
import type { Fields } from "../answer.ts";
import { LEGACY, readType, typeName } from "./envelope-type.ts";
import { Unprovable } from "./proof.ts";
import { closeList, type RlpWriter, writeByte, writeEmpty, writeQuantity } from "./rlp.ts";
import { LAYOUTS, type Layout, writeFields } from "./transaction-layouts.ts";

export function isKnownType(type: number): boolean {
  return LAYOUTS.has(type);
}

/**
 * Writes the transaction as it stands in the block: keccak-256 of it is its hash.
 *
 * @throws {Unprovable} `unknown` for a type that is not in the table, `unreadable` for a missing field
 */
export function writeTransaction(writer: RlpWriter, transaction: Fields): void {
  const type = readType(transaction);
  const { body, signature } = layoutOf(type);
  const since = writer.size;
  writeFields(writer, transaction, signature);
  writeFields(writer, transaction, body);
  closeEnvelope(writer, since, type);
}

/**
 * Writes what the sender signed: keccak-256 of it is the signature's payload.
 *
 * @throws {Unprovable} also where nobody signs
 */
export function writeSignedPart(writer: RlpWriter, transaction: Fields): void {
  const type = readType(transaction);
  const { body, signature } = layoutOf(type);
  if (signature.length === 0) throw new Unprovable("unknown", `Nobody signs type ${typeName(type)}`);
  const since = writer.size;
  if (type === LEGACY) writeReplayProtection(writer, transaction["v"]);
  writeFields(writer, transaction, body);
  closeEnvelope(writer, since, type);
}

/** EIP-155: `v` of 35 and more holds the chain id, which is signed with two zeros behind it. */
function writeReplayProtection(writer: RlpWriter, v: unknown): void {
  const number = typeof v === "string" && /^0x[0-9a-f]{1,64}$/i.test(v) ? BigInt(v) : 0n;
  if (number < 35n) return;
  writeEmpty(writer);
  writeEmpty(writer);
  writeQuantity(writer, `0x${((number - 35n) / 2n).toString(16)}`, "v");
}

function layoutOf(type: number): Layout {
  const layout = LAYOUTS.get(type);
  if (layout === undefined) {
    throw new Unprovable(
      "unknown",
      `The encoding of transactions of type ${typeName(type)} is not known here`,
    );
  }
  return layout;
}

function closeEnvelope(writer: RlpWriter, since: number, type: number): void {
  closeList(writer, since);
  if (type !== LEGACY) writeByte(writer, type);
}
