/**
 * Which fields a transaction of each type has, in the order of its encoding. A transaction is the list of them,
 * with its type's byte in front.
 */
import { type Fields, isFields } from "../answer.ts";
import { ARBITRUM_INTERNAL, LEGACY, OP_DEPOSIT } from "./envelope-type.ts";
import { Unprovable } from "./proof.ts";
import {
  closeList,
  type RlpWriter,
  writeByte,
  writeData,
  writeEmpty,
  writeFixedData,
  writeQuantity,
} from "./rlp.ts";

type WriteField = (writer: RlpWriter, fields: Fields) => void;

export interface Layout {
  /** What the sender signs. */
  readonly body: readonly WriteField[];
  /** Comes behind it; empty where nobody signs. */
  readonly signature: readonly WriteField[];
}

const ADDRESS_BYTES = 20;
const HASH_BYTES = 32;

const quantity =
  (name: string): WriteField =>
  (writer, fields) =>
    writeQuantity(writer, fields[name], name);

const address =
  (name: string): WriteField =>
  (writer, fields) =>
    writeFixedData(writer, fields[name], ADDRESS_BYTES, name);

const hash =
  (name: string): WriteField =>
  (writer, fields) =>
    writeFixedData(writer, fields[name], HASH_BYTES, name);

const list =
  (name: string, writeItem: (writer: RlpWriter, item: unknown) => void): WriteField =>
  (writer, fields) =>
    writeList(writer, fields[name], name, writeItem);

/** No recipient makes a contract, and is encoded as nothing. */
const recipient: WriteField = (writer, fields) => {
  if (isMissing(fields["to"])) writeEmpty(writer);
  else writeFixedData(writer, fields["to"], ADDRESS_BYTES, "to");
};

const input: WriteField = (writer, fields) => writeData(writer, fields["input"] ?? fields["data"], "input");

/** Told as `v`, as `yParity` or as both, which are the same. */
const parity: WriteField = (writer, fields) =>
  writeQuantity(writer, fields["yParity"] ?? fields["v"], "yParity");

/** Minted on the OP stack: left out where nothing is. */
const mint: WriteField = (writer, fields) => {
  if (isMissing(fields["mint"])) writeEmpty(writer);
  else writeQuantity(writer, fields["mint"], "mint");
};

/** False, and often left out, since the OP stack's Regolith. */
const isSystemTransaction: WriteField = (writer, fields) => {
  if (fields["isSystemTx"] === true) writeByte(writer, 1);
  else writeEmpty(writer);
};

/**
 * Nothing, for a type that moves no value and whose encoding so holds none: what a node tells as its value, and
 * somebody may believe, is in no hash.
 */
const noValue: WriteField = (_, fields) => {
  if (fields["value"] === "0x0") return;
  throw new Unprovable("differs", "A transaction of a type that moves no value is told with one");
};

const ACCESS: readonly WriteField[] = [
  address("address"),
  list("storageKeys", (writer, key) => writeFixedData(writer, key, HASH_BYTES, "A storage key")),
];
const SIGNATURE: readonly WriteField[] = [parity, quantity("r"), quantity("s")];
const AUTHORIZATION: readonly WriteField[] = [
  quantity("chainId"),
  address("address"),
  quantity("nonce"),
  ...SIGNATURE,
];

/** Some nodes leave an empty one out. */
const accessList: WriteField = (writer, fields) =>
  writeList(writer, fields["accessList"] ?? [], "accessList", (_, item) => writeTuple(writer, item, ACCESS));

const CALL: readonly WriteField[] = [quantity("gas"), recipient, quantity("value"), input];

/** EIP-1559; the later types have more behind it. */
const DYNAMIC_FEE: readonly WriteField[] = [
  quantity("chainId"),
  quantity("nonce"),
  quantity("maxPriorityFeePerGas"),
  quantity("maxFeePerGas"),
  ...CALL,
  accessList,
];

const blobHashes = list("blobVersionedHashes", (writer, blob) =>
  writeFixedData(writer, blob, HASH_BYTES, "A blob's hash"),
);

const authorizations = list("authorizationList", (writer, item) => writeTuple(writer, item, AUTHORIZATION));

const DEPOSIT: readonly WriteField[] = [
  hash("sourceHash"),
  address("from"),
  recipient,
  mint,
  quantity("value"),
  quantity("gas"),
  isSystemTransaction,
  input,
];

/** Only what was checked against transactions of real chains: a wrong row would refuse true blocks. */
export const LAYOUTS: ReadonlyMap<number, Layout> = new Map<number, Layout>([
  [
    LEGACY,
    {
      body: [quantity("nonce"), quantity("gasPrice"), ...CALL],
      signature: [quantity("v"), quantity("r"), quantity("s")],
    },
  ],
  [
    0x01, // EIP-2930
    {
      body: [quantity("chainId"), quantity("nonce"), quantity("gasPrice"), ...CALL, accessList],
      signature: SIGNATURE,
    },
  ],
  [0x02, { body: DYNAMIC_FEE, signature: SIGNATURE }],
  // EIP-4844
  [0x03, { body: [...DYNAMIC_FEE, quantity("maxFeePerBlobGas"), blobHashes], signature: SIGNATURE }],
  // EIP-7702
  [0x04, { body: [...DYNAMIC_FEE, authorizations], signature: SIGNATURE }],
  [ARBITRUM_INTERNAL, { body: [quantity("chainId"), input, noValue], signature: [] }],
  [OP_DEPOSIT, { body: DEPOSIT, signature: [] }],
]);

/** The last field first, as the writer wants it. */
export function writeFields(writer: RlpWriter, fields: Fields, layout: readonly WriteField[]): void {
  for (let position = layout.length - 1; position >= 0; position--) layout[position]?.(writer, fields);
}

function writeTuple(writer: RlpWriter, item: unknown, layout: readonly WriteField[]): void {
  if (!isFields(item)) throw new Unprovable("unreadable", "An item of a list is not an object");
  const since = writer.size;
  writeFields(writer, item, layout);
  closeList(writer, since);
}

function writeList(
  writer: RlpWriter,
  items: unknown,
  what: string,
  writeItem: (writer: RlpWriter, item: unknown) => void,
): void {
  if (!Array.isArray(items)) throw new Unprovable("unreadable", `${what} is not a list`);
  const since = writer.size;
  for (let position = items.length - 1; position >= 0; position--) writeItem(writer, items[position]);
  closeList(writer, since);
}

function isMissing(value: unknown): boolean {
  return value === undefined || value === null;
}
