/**
 * Whether a transaction may move value to a watched address, by what it and its receipt say: its value, and the
 * recipients of the ERC-20 transfers in its logs. Inner calls are told elsewhere, and not looked at.
 */
import type { FetchedReceipt, FetchedTransaction } from "../rpc/fetched-block.ts";
import type { AddressLook } from "./address-table.ts";
import { TRANSFER_TOPIC } from "./log-transfers.ts";

/** Where in a topic its address begins. */
const ADDRESS_IN_TOPIC = 26;

/** Never `false` for a transaction of which `extractTransfers` finds a transfer to an address of the table. */
export function mayConcern(
  table: Pick<AddressLook, "mayContain">,
  transaction: FetchedTransaction,
  receipt: FetchedReceipt,
): boolean {
  if (transaction.value !== "0x0") {
    const recipient = transaction.to ?? receipt.contractAddress;
    if (typeof recipient === "string" && table.mayContain(recipient)) return true;
  }
  for (const { topics } of receipt.logs) {
    const recipient = topics[2];
    if (recipient === undefined || topics[0] !== TRANSFER_TOPIC) continue;
    if (table.mayContain(recipient, ADDRESS_IN_TOPIC)) return true;
  }
  return false;
}
