/**
 * Who sent a transaction, from its signature. The sender stands in no root, and to recover it takes milliseconds:
 * so it is proved for the few transactions that pay somebody watched, not for every block.
 */
import { recoverAddress } from "ox/Secp256k1";
import { type Fields, isFields } from "../answer.ts";
import { writeSignedPart } from "./encode-transaction.ts";
import { LEGACY, OP_DEPOSIT, readType } from "./envelope-type.ts";
import { attempt, isSame, PROVED, type Proof, quote, Unprovable, unproved } from "./proof.ts";
import { hashSince, type RlpWriter } from "./rlp.ts";

/**
 * Proves that `from` signed this transaction, whose own hash and place are for `proveTransactionsRoot` to prove.
 * A deposit of the OP stack holds its sender, so its root has proved it.
 */
export function proveSender(writer: RlpWriter, transaction: unknown): Proof {
  return attempt(writer, () => {
    if (!isFields(transaction)) throw new Unprovable("unreadable", "The transaction is not told in full");
    if (readType(transaction) === OP_DEPOSIT) return PROVED;
    const since = writer.size;
    writeSignedPart(writer, transaction);
    const sender = recover(hashSince(writer, since), transaction);
    if (isSame(sender, transaction["from"])) return PROVED;
    return unproved("differs", `The sender is told as ${quote(transaction["from"])}, but ${sender} signed`);
  });
}

function recover(payload: Uint8Array, transaction: Fields): string {
  const signature = {
    r: readScalar(transaction["r"]),
    s: readScalar(transaction["s"]),
    yParity: readParity(transaction),
  };
  try {
    return recoverAddress({ payload, signature }).toLowerCase();
  } catch {
    throw new Unprovable("unreadable", "The signature is none"); // no point of the curve, or out of range
  }
}

const QUANTITY = /^0x[0-9a-f]{1,64}$/i;

/** 32 bytes, as `0x` and 64 digits. */
function readScalar(value: unknown): `0x${string}` {
  if (typeof value !== "string" || !QUANTITY.test(value)) {
    throw new Unprovable("unreadable", "The signature is malformed");
  }
  return `0x${value.slice(2).padStart(64, "0")}`;
}

/** 27 and 28 before EIP-155, from 35 on with the chain id in it; 0 and 1 for every later type. */
function readParity(transaction: Fields): number {
  const isLegacy = readType(transaction) === LEGACY;
  const told = isLegacy ? transaction["v"] : (transaction["yParity"] ?? transaction["v"]);
  const v = typeof told === "string" && QUANTITY.test(told) ? BigInt(told) : -1n;
  if (!isLegacy && (v === 0n || v === 1n)) return Number(v);
  if (isLegacy && (v === 27n || v === 28n || v >= 35n)) return Number((v + 1n) % 2n);
  throw new Unprovable("unreadable", "The signature's parity is malformed");
}
