/**
 * Transfers of a block as bytes: from thread to thread, where cloning them one by one costs three times as much; and
 * while blocks wait to be committed, where a hundred thousand small objects would be moved again and again by the
 * garbage collector. Of those that whoever read the block had no reason to keep, the recipients alone are there.
 *
 * A line of text for each that is kept, its fields apart by a space. No field holds either: hashes and addresses were
 * checked, the source is our own word, an amount is a number.
 */
import type { RecipientTable, Transfer, TransferList } from "../core/chain.ts";
import type { Address } from "../core/hex.ts";

/** Can be cloned. */
export interface PackedTransfers {
  readonly length: number;
  /** 20 bytes each. */
  readonly recipients: Uint8Array;
  /** Those that are kept. */
  readonly text: Uint8Array;
  /** The size of the table that was looked into for what to keep; `null`: all are kept. */
  readonly looked: number | null;
}

/** Thrown where a transfer is wanted that was not kept: its block has to be read again. */
export class TransferNotKept extends Error {
  constructor() {
    super("A transfer is wanted that was not kept");
    this.name = "TransferNotKept";
  }
}

const FIELDS = 8;
const ADDRESS_BYTES = 20;

export interface Keeping {
  readonly isKept: (transfer: Transfer) => boolean;
  readonly looked: number;
}

export function packTransfers(transfers: readonly Transfer[], keeping?: Keeping): PackedTransfers {
  const recipients = Buffer.allocUnsafeSlow(transfers.length * ADDRESS_BYTES);
  let text = "";
  for (const [index, transfer] of transfers.entries()) {
    recipients.write(transfer.to.slice(2), index * ADDRESS_BYTES, "hex");
    if (keeping === undefined || keeping.isKept(transfer)) text += lineOf(transfer, index);
  }
  // Memory of its own, so that no other is cloned along.
  const bytes = Buffer.allocUnsafeSlow(text.length);
  bytes.write(text, "latin1");
  return { length: transfers.length, recipients, text: bytes, looked: keeping?.looked ?? null };
}

function lineOf({ txHash, source, token, from, to, amountBaseUnits, sender }: Transfer, index: number) {
  return `${index} ${txHash ?? ""} ${source} ${token ?? ""} ${from} ${to} ${amountBaseUnits} ${sender ?? ""}\n`;
}

/** The same transfers, unpacked anew for each look at them. */
export function packedList(packed: PackedTransfers): TransferList {
  const { recipients, text, looked } = packed;
  return {
    length: packed.length,
    isForNoneOf: (table: RecipientTable) =>
      // A table only grows: of the same size it is the one that was looked into.
      (looked === table.size && text.length === 0) || !table.mayContainAny(recipients),
    filter: (isWanted) => wantedOf(packed, isWanted),
  };
}

/** @throws {TransferNotKept} */
function wantedOf(
  { length, recipients, text }: PackedTransfers,
  isWanted: (transfer: Pick<Transfer, "to">) => boolean,
): Transfer[] {
  const kept = unpack(text);
  const wanted: Transfer[] = [];
  for (let index = 0; index < length; index++) {
    const transfer = kept.get(index);
    if (!isWanted(transfer ?? { to: recipientAt(recipients, index) })) continue;
    if (transfer === undefined) throw new TransferNotKept();
    wanted.push(transfer);
  }
  return wanted;
}

function recipientAt({ buffer, byteOffset }: Uint8Array, index: number): Address {
  const bytes = Buffer.from(buffer, byteOffset + index * ADDRESS_BYTES, ADDRESS_BYTES);
  return `0x${bytes.toString("hex")}`;
}

/** By their places. @throws {RangeError} when it was not packed here */
function unpack({ buffer, byteOffset, byteLength }: Uint8Array): Map<number, Transfer> {
  const text = Buffer.from(buffer, byteOffset, byteLength).toString("latin1");
  const transfers = new Map<number, Transfer>();
  let at = 0;
  const next = (end: string): string => {
    const found = text.indexOf(end, at);
    if (found < 0) throw new RangeError(`A transfer is not ${FIELDS} fields`);
    const field = text.slice(at, found);
    at = found + 1;
    return field;
  };
  while (at < text.length) {
    transfers.set(Number(next(" ")), {
      txHash: (next(" ") || null) as Transfer["txHash"],
      source: next(" ") as Transfer["source"],
      token: (next(" ") || null) as Transfer["token"],
      from: next(" ") as Transfer["from"],
      to: next(" ") as Transfer["to"],
      amountBaseUnits: BigInt(next(" ")),
      sender: (next("\n") || null) as Transfer["sender"],
    });
  }
  return transfers;
}
