/**
 * The bloom filter over a block's logs (Yellow Paper, 4.4.3): for the address and each topic of each log, three
 * of 2,048 bits. Where the receipts' root cannot be computed, equal blooms still show that most logs are there:
 * a log that is left out or changed goes unnoticed only when other logs set all its bits, which is rare in a
 * quiet block and common in a full one. Data, and so every amount, is not in the bloom at all.
 */
import { keccak256 } from "../../core/keccak.ts";
import { type Fields, isFields } from "../answer.ts";
import { decodeHex } from "./decode-hex.ts";
import { compareHashes, PROVED, type Proof, Unprovable } from "./proof.ts";

const BLOOM_BYTES = 256;
const LAST_BIT = BLOOM_BYTES * 8 - 1;
const BITS = [0, 2, 4] as const;
const EMPTY_BLOOM = `0x${"00".repeat(BLOOM_BYTES)}`;

/** keccak-256 of each address and topic, by their hexadecimal text: most of them come again and again. */
export type BloomHashes = Map<string, Uint8Array>;

/**
 * Proves that the logs make the bloom of each receipt that tells one, and together that of the block.
 *
 * @throws {Unprovable}
 */
export function proveBlooms(receipts: readonly unknown[], blockBloom: unknown): Proof {
  const hashes: BloomHashes = new Map();
  const block = Buffer.alloc(BLOOM_BYTES);
  for (const [index, receipt] of receipts.entries()) {
    const { logs, logsBloom } = readReceipt(receipt);
    const what = `The bloom of receipt ${index}`;
    if (logs.length === 0) {
      if (!isPresent(logsBloom) || logsBloom === EMPTY_BLOOM) continue;
      return compareHashes(what, EMPTY_BLOOM, logsBloom);
    }
    const bloom = bloomOf(logs, hashes);
    const proof = isPresent(logsBloom) ? compareHashes(what, hexOf(bloom), logsBloom) : PROVED;
    if (!proof.isProved) return proof;
    for (let byte = 0; byte < BLOOM_BYTES; byte++) block[byte] = (block[byte] ?? 0) | (bloom[byte] ?? 0);
  }
  return compareHashes("The block's bloom", hexOf(block), blockBloom);
}

/** @throws {Unprovable} when a log's address or topics are not what they should be */
export function bloomOf(logs: readonly unknown[], hashes: BloomHashes = new Map()): Buffer {
  const bloom = Buffer.alloc(BLOOM_BYTES);
  for (const log of logs) {
    const topics = isFields(log) ? log["topics"] : undefined;
    if (!isFields(log) || !Array.isArray(topics)) throw new Unprovable("unreadable", "A log is malformed");
    addTo(bloom, log["address"], ADDRESS_BYTES, hashes);
    for (const topic of topics) addTo(bloom, topic, TOPIC_BYTES, hashes);
  }
  return bloom;
}

const ADDRESS_BYTES = 20;
const TOPIC_BYTES = 32;
const scratch = Buffer.alloc(TOPIC_BYTES);

function addTo(bloom: Buffer, hex: unknown, length: number, hashes: BloomHashes): void {
  if (typeof hex !== "string" || hex.length !== 2 + 2 * length || !hex.startsWith("0x")) {
    throw new Unprovable("unreadable", `A log's address or topic is not ${length} bytes`);
  }
  let hash = hashes.get(hex);
  if (hash === undefined) {
    decodeHex(scratch, 0, hex, 2, "A log's address or topic");
    hash = keccak256(scratch.subarray(0, length));
    hashes.set(hex, hash);
  }
  for (const position of BITS) {
    const bit = (((hash[position] ?? 0) << 8) | (hash[position + 1] ?? 0)) & LAST_BIT;
    // Bits are counted from the last byte.
    const byte = BLOOM_BYTES - 1 - (bit >> 3);
    bloom[byte] = (bloom[byte] ?? 0) | (1 << (bit & 7));
  }
}

function readReceipt(receipt: unknown): { readonly logs: readonly unknown[]; readonly logsBloom: unknown } {
  const fields: Fields = isFields(receipt) ? receipt : {};
  const logs = fields["logs"];
  if (!Array.isArray(logs)) throw new Unprovable("unreadable", "A receipt has no list of logs");
  return { logs, logsBloom: fields["logsBloom"] };
}

function isPresent(value: unknown): boolean {
  return value !== undefined && value !== null;
}

function hexOf(bloom: Buffer): string {
  return `0x${bloom.toString("hex")}`;
}
