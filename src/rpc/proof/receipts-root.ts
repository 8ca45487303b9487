/**
 * The root of a block's receipts: whether each transaction succeeded, and all of its logs. With a proved header
 * it proves that no log is missing, changed, invented or in another place.
 *
 * It does not hold what nodes add to a receipt: whose transaction it is (that is its place), who sent it, and
 * which contract it made.
 */
import { type Fields, isFields } from "../answer.ts";
import { LEGACY, OP_DEPOSIT, readType } from "./envelope-type.ts";
import { bloomOf } from "./logs-bloom.ts";
import { orderedTrieRoot } from "./ordered-trie.ts";
import { attempt, compareHashes, type Proof, Unprovable } from "./proof.ts";
import {
  closeList,
  type RlpWriter,
  writeByte,
  writeBytes,
  writeData,
  writeEmpty,
  writeFixedData,
  writeQuantity,
} from "./rlp.ts";

/**
 * A failure's status is encoded as nothing, as the number zero is. Ganache encodes it as a byte of zero, which no
 * other receipt has: whichever of the two makes the root, the same facts are proved.
 *
 * @param receipts one for each transaction, in the block's order
 */
export function proveReceiptsRoot(writer: RlpWriter, receipts: readonly unknown[], root: unknown): Proof {
  return attempt(writer, () => {
    const proof = proveRoot(writer, receipts, root, writeEmpty);
    if (proof.isProved || !receipts.some(hasFailed)) return proof;
    const byByte = proveRoot(writer, receipts, root, (into) => writeByte(into, 0));
    return byByte.isProved ? byByte : proof;
  });
}

type WriteFailure = (writer: RlpWriter) => void;

function proveRoot(
  writer: RlpWriter,
  receipts: readonly unknown[],
  root: unknown,
  writeFailure: WriteFailure,
): Proof {
  const computed = orderedTrieRoot(writer, receipts.length, (_, index) => {
    const receipt = receipts[index];
    if (!isFields(receipt)) throw new Unprovable("unreadable", `Receipt ${index} is not an object`);
    writeReceipt(writer, receipt, writeFailure);
  });
  return compareHashes("The receipts' root", computed, root);
}

function hasFailed(receipt: unknown): boolean {
  return isFields(receipt) && receipt["status"] === "0x0";
}

/**
 * A receipt of any type is `[status, gas, bloom, logs]`, with its type's byte in front, and so are Arbitrum's.
 * Only the OP stack's deposits have more, since Canyon, which also gave them a version: before it the nonce was
 * told by nodes, but stood in no root.
 */
export function writeReceipt(writer: RlpWriter, receipt: Fields, writeFailure: WriteFailure): void {
  const type = readType(receipt);
  const since = writer.size;
  if (type === OP_DEPOSIT && isPresent(receipt["depositReceiptVersion"])) {
    writeQuantity(writer, receipt["depositReceiptVersion"], "depositReceiptVersion");
    writeQuantity(writer, receipt["depositNonce"], "depositNonce");
  }
  writeLogs(writer, receipt["logs"]);
  writeBloom(writer, receipt);
  writeQuantity(writer, receipt["cumulativeGasUsed"], "cumulativeGasUsed");
  writeStatus(writer, receipt, writeFailure);
  closeList(writer, since);
  if (type !== LEGACY) writeByte(writer, type);
}

/** Before Byzantium (EIP-658) the state's root after the transaction stood where the status stands now. */
function writeStatus(writer: RlpWriter, receipt: Fields, writeFailure: WriteFailure): void {
  const status = receipt["status"];
  if (status === "0x1") writeByte(writer, 1);
  else if (status === "0x0") writeFailure(writer);
  else if (isPresent(status)) throw new Unprovable("unreadable", "A receipt's status is neither 0x0 nor 0x1");
  else writeFixedData(writer, receipt["root"], ROOT_BYTES, "A receipt's root");
}

const ROOT_BYTES = 32;
const BLOOM_BYTES = 256;
const ADDRESS_BYTES = 20;
const TOPIC_BYTES = 32;

/** Some nodes leave the bloom out; the logs make it. */
function writeBloom(writer: RlpWriter, receipt: Fields): void {
  const bloom = receipt["logsBloom"];
  if (isPresent(bloom)) writeFixedData(writer, bloom, BLOOM_BYTES, "A receipt's bloom");
  else writeBytes(writer, bloomOf(readList(receipt["logs"], "logs")));
}

function writeLogs(writer: RlpWriter, told: unknown): void {
  const logs = readList(told, "logs");
  const since = writer.size;
  for (let position = logs.length - 1; position >= 0; position--) writeLog(writer, logs[position]);
  closeList(writer, since);
}

function writeLog(writer: RlpWriter, log: unknown): void {
  if (!isFields(log)) throw new Unprovable("unreadable", "A log is not an object");
  const since = writer.size;
  writeData(writer, log["data"], "A log's data");
  const topics = readList(log["topics"], "topics");
  const topicsSince = writer.size;
  for (let position = topics.length - 1; position >= 0; position--) {
    writeFixedData(writer, topics[position], TOPIC_BYTES, "A log's topic");
  }
  closeList(writer, topicsSince);
  writeFixedData(writer, log["address"], ADDRESS_BYTES, "A log's address");
  closeList(writer, since);
}

function readList(value: unknown, name: string): readonly unknown[] {
  if (Array.isArray(value)) return value;
  throw new Unprovable("unreadable", `${name} is not a list`);
}

function isPresent(value: unknown): boolean {
  return value !== undefined && value !== null;
}
