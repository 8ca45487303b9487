/**
 * Transfers as one text, from thread to thread: a third of what it costs to clone them one by one.
 *
 * A line for each, its fields apart by a space. No field holds either: hashes and addresses were checked, the source
 * is our own word, an amount is a number.
 */
import type { Transfer } from "../core/chain.ts";

const FIELDS = 7;

export function packTransfers(transfers: readonly Transfer[]): string {
  let text = "";
  for (const { txHash, source, token, from, to, amountBaseUnits, sender } of transfers)
    text += `${txHash ?? ""} ${source} ${token ?? ""} ${from} ${to} ${amountBaseUnits} ${sender ?? ""}\n`;
  return text;
}

/** @throws {RangeError} when it was not packed here */
export function unpackTransfers(text: string): Transfer[] {
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
