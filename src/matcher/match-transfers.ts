/** Transfers to watched addresses, among all of a block. */
import type { Transfer } from "../core/chain.ts";
import type { AddressTable } from "./address-table.ts";

/** Every transfer whose recipient may be watched; the database confirms each. None to a watched address is left out. */
export function matchTransfers(transfers: readonly Transfer[], table: AddressTable): Transfer[] {
  return transfers.filter((transfer) => table.mayContain(transfer.to));
}
