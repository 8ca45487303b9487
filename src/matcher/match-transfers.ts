/** Transfers to watched addresses, among all of a block. */
import type { Transfer, TransferList } from "../core/chain.ts";
import type { AddressTable } from "./address-table.ts";

/** Every transfer whose recipient may be watched; the database confirms each. None to a watched address is left out. */
export function matchTransfers(transfers: TransferList, table: AddressTable): Transfer[] {
  // Most blocks have none, and need not be unpacked.
  if (transfers.isForNoneOf?.(table) === true) return [];
  return transfers.filter((transfer) => table.mayContain(transfer.to));
}
