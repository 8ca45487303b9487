/**
 * Transfers of a block as bytes: from thread to thread, where cloning them one by one costs three times as much; and
 * while blocks wait to be committed, where a hundred thousand small objects would be moved again and again by the
 * garbage collector. Whether any of them is ours shows in the recipients alone, so most are never unpacked.
 *
 * A line of text for each, its fields apart by a space. No field holds either: hashes and addresses were checked, the
 * source is our own word, an amount is a number.
 */
import type { Transfer, TransferList } from "../core/chain.ts";

/** Can be cloned. */
export interface PackedTransfers {
  readonly length: number;
  /** 20 bytes each. */
  readonly recipients: Uint8Array;
  readonly text: Uint8Array;
}

const FIELDS = 7;
const ADDRESS_BYTES = 20;

export function packTransfers(transfers: readonly Transfer[]): PackedTransfers {
  const recipients = Buffer.allocUnsafeSlow(transfers.length * ADDRESS_BYTES);
  let text = "";
  for (const [index, { txHash, source, token, from, to, amountBaseUnits, sender }] of transfers.entries()) {
    recipients.write(to.slice(2), index * ADDRESS_BYTES, "hex");
    text += `${txHash ?? ""} ${source} ${token ?? ""} ${from} ${to} ${amountBaseUnits} ${sender ?? ""}\n`;
  }
  // Memory of its own, so that no other is cloned along.
  const bytes = Buffer.allocUnsafeSlow(text.length);
  bytes.write(text, "latin1");
  return { length: transfers.length, recipients, text: bytes };
}

/** The same transfers, unpacked anew for each look at them. */
export function packedList({ length, recipients, text }: PackedTransfers): TransferList {
  return { length, recipients, filter: (isWanted) => unpack(text).filter(isWanted) };
}

/** @throws {RangeError} when it was not packed here */
function unpack({ buffer, byteOffset, byteLength }: Uint8Array): Transfer[] {
  const text = Buffer.from(buffer, byteOffset, byteLength).toString("latin1");
  const transfers: Transfer[] = [];
  let at = 0;
  const next = (end: string): string => {
    const found = text.indexOf(end, at);
    if (found < 0) throw new RangeError(`A transfer is not ${FIELDS} fields`);
    const field = text.slice(at, found);
    at = found + 1;
    return field;
  };
  while (at < text.length) {
    transfers.push({
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
