/**
 * The public ids of deposits and seen payments are derived from their identity, so that a restored backup makes the
 * same ids again.
 */
import { createHash } from "node:crypto";
import type { TransferSource } from "./chain.ts";
import type { Hash } from "./hex.ts";
import type { SeenSource } from "./seen-payment.ts";

const ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"; // Crockford's base 32, lower-case: no i, l, o, u

/**
 * `dep_` and 32 letters: the first 160 bits of SHA-256 over `chainId:txHash:source`. 160 bits keep a collision
 * (2⁸⁰ tries) out of reach of somebody who grinds transaction hashes.
 */
export function depositId(chainId: number, txHash: Hash | null, source: TransferSource): string {
  return `dep_${derive(`${chainId}:${txHash ?? ""}:${source}`)}`;
}

/** `see_` and 32 letters, in the same way. */
export function seenPaymentId(chainId: number, txHash: Hash, source: SeenSource): string {
  return `see_${derive(`seen:${chainId}:${txHash}:${source}`)}`;
}

function derive(identity: string): string {
  const digest = createHash("sha256").update(identity).digest();
  return base32(digest.subarray(0, 20));
}

/** @param bytes length must be a multiple of 5 */
function base32(bytes: Buffer): string {
  let text = "";
  for (let offset = 0; offset < bytes.length; offset += 5) {
    const group = bytes.readUIntBE(offset, 5); // 40 bits, exact in a double
    for (let letter = 7; letter >= 0; letter--)
      text += ALPHABET.charAt(Math.floor(group / 32 ** letter) % 32);
  }
  return text;
}
