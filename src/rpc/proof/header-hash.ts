/**
 * The hash of a block's header, from the header as a node's JSON tells it. It binds everything else: the number,
 * the parent, the time, and the roots of transactions, receipts and withdrawals.
 */
import { bytesToHex } from "../../core/hex.ts";
import type { Fields } from "../answer.ts";
import { attempt, compareHashes, type Proof, unproved } from "./proof.ts";
import { closeList, hashSince, type RlpWriter, writeData, writeEmpty, writeQuantity } from "./rlp.ts";

type HeaderField = readonly [name: string, kind: "data" | "quantity"];

/** Every header has these, in this order. */
const BASE_FIELDS: readonly HeaderField[] = [
  ["parentHash", "data"],
  ["sha3Uncles", "data"],
  ["miner", "data"],
  ["stateRoot", "data"],
  ["transactionsRoot", "data"],
  ["receiptsRoot", "data"],
  ["logsBloom", "data"],
  ["difficulty", "quantity"],
  ["number", "quantity"],
  ["gasLimit", "quantity"],
  ["gasUsed", "quantity"],
  ["timestamp", "quantity"],
  ["extraData", "data"],
  ["mixHash", "data"],
  ["nonce", "data"],
];

/** Forks have added these at the end, in this order. */
const LATER_FIELDS: readonly HeaderField[] = [
  ["baseFeePerGas", "quantity"], // London (EIP-1559)
  ["withdrawalsRoot", "data"], // Shanghai (EIP-4895)
  ["blobGasUsed", "quantity"], // Cancun (EIP-4844)
  ["excessBlobGas", "quantity"],
  ["parentBeaconBlockRoot", "data"], // Cancun (EIP-4788)
  ["requestsHash", "data"], // Prague (EIP-7685)
  ["blockAccessListHash", "data"], // Amsterdam (EIP-7928)
  ["slotNumber", "quantity"], // Amsterdam (EIP-7843)
];

/** What nodes tell beside the header. */
const COMPANIONS: readonly string[] = [
  "hash",
  "size",
  "totalDifficulty",
  "transactions",
  "uncles",
  "withdrawals",
];

const KNOWN_NAMES: ReadonlySet<string> = new Set([
  ...[...BASE_FIELDS, ...LATER_FIELDS].map(([name]) => name),
  ...COMPANIONS,
]);

/**
 * Proves that `header.hash` is the hash of the rest of the header. Fields that this program does not know are
 * left out; where the hash does not come out, they are named, since a fork may have added them.
 */
export function proveHeaderHash(writer: RlpWriter, header: Fields): Proof {
  const proof = attempt(writer, () => {
    const since = writer.size;
    writeHeader(writer, header);
    return compareHashes("The header's hash", bytesToHex(hashSince(writer, since)), header["hash"]);
  });
  if (proof.isProved || proof.doubt !== "differs") return proof;
  const strangers = Object.keys(header).filter((name) => !KNOWN_NAMES.has(name) && isPresent(header, name));
  if (strangers.length === 0) return proof;
  const names = strangers.slice(0, 10).join(", ").slice(0, 200);
  return unproved(proof.doubt, `${proof.reason} (it has fields that are not known here: ${names})`);
}

function writeHeader(writer: RlpWriter, header: Fields): void {
  const since = writer.size;
  const last = LATER_FIELDS.findLastIndex(([name]) => isPresent(header, name));
  for (let position = last; position >= 0; position--) {
    const field = LATER_FIELDS[position];
    if (field !== undefined) writeLaterField(writer, header, field);
  }
  for (let position = BASE_FIELDS.length - 1; position >= 0; position--) {
    const field = BASE_FIELDS[position];
    if (field !== undefined) writeField(writer, header, field);
  }
  closeList(writer, since);
}

/** A chain that took a later fork's field and not an earlier one's leaves an empty place, as geth's RLP does. */
function writeLaterField(writer: RlpWriter, header: Fields, field: HeaderField): void {
  if (isPresent(header, field[0])) writeField(writer, header, field);
  else writeEmpty(writer);
}

function writeField(writer: RlpWriter, header: Fields, [name, kind]: HeaderField): void {
  if (kind === "data") writeData(writer, header[name], name);
  else writeQuantity(writer, header[name], name);
}

function isPresent(header: Fields, name: string): boolean {
  return header[name] !== undefined && header[name] !== null;
}
