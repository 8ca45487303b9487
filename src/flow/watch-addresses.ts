/**
 * The watched addresses in memory: one table for all chains of this process, fed before every commit with what
 * was registered since. A hit is confirmed by the database; a registered address is never missing.
 */
import type { Database, Sql } from "../db/database.ts";
import { type AddressTable, createAddressTable } from "../matcher/address-table.ts";
import { closeRegistrationGate, lastAddressNumber, listAddresses } from "../merchants/address-store.ts";
import type { Random } from "../runtime/random.ts";

export interface AddressWatch {
  readonly table: AddressTable;
  /** Every registration up to this number is in the table. Only ever raised to a number read behind the closed gate. */
  lastNumber: bigint;
}

const ADDRESSES_PER_QUERY = 50_000;

/** Loads every address registered until now. The gate is closed only for reading how far that is, not while loading. */
export async function loadAddressWatch(database: Database, random: Random): Promise<AddressWatch> {
  const watch: AddressWatch = { table: createAddressTable(random.bytes(16)), lastNumber: 0n };
  const last = await database.transaction(async (tx) => {
    await closeRegistrationGate(tx);
    return lastAddressNumber(tx);
  });
  await loadUpTo(database, watch, last);
  return watch;
}

/**
 * Feeds the table with what was registered since. Call it behind the closed gate: then nothing with a lower
 * number can commit any more. Another chain may have fed it meanwhile, so whether something is new to the caller
 * shows in `lastNumber`, not here.
 */
export async function loadNewAddresses(tx: Sql, watch: AddressWatch): Promise<void> {
  await loadUpTo(tx, watch, await lastAddressNumber(tx));
}

async function loadUpTo(sql: Sql, watch: AddressWatch, last: bigint): Promise<void> {
  let number = watch.lastNumber;
  while (number < last) {
    const page = await listAddresses(sql, { after: number, upTo: last, limit: ADDRESSES_PER_QUERY });
    for (const address of page.addresses) watch.table.add(address);
    number = page.addresses.length < ADDRESSES_PER_QUERY ? last : page.lastNumber;
  }
  if (last > watch.lastNumber) watch.lastNumber = last;
}
