/**
 * The watched addresses in memory: one table for all chains of this process, fed before every commit with what
 * was registered since. A hit is confirmed by the database; a registered address is never missing.
 */
import type { Database, Sql } from "../db/database.ts";
import { type AddressTable, createAddressTable } from "../matcher/address-table.ts";
import {
  closeRegistrationGate,
  countAddresses,
  lastAddressNumber,
  packAddresses,
} from "../merchants/address-store.ts";
import type { Random } from "../runtime/random.ts";

export interface AddressWatch {
  readonly table: AddressTable;
  /** Every registration up to this number is in the table. Only ever raised to a number at or below one read behind the closed gate. */
  lastNumber: bigint;
}

/** Loads the addresses once for all followers of this process. */
export interface AddressLoader {
  /**
   * Resolves when every address registered before the call is in the table. Calls share one loading; after one that
   * failed, the next goes on from there.
   */
  load(signal?: AbortSignal): Promise<AddressWatch>;
  /** How far the loading is, while one is under way. */
  progress(): LoadProgress | null;
}

export interface LoadProgress {
  readonly loaded: number;
  readonly total: number;
}

/** Some 10 ms of this process's time: what else it does goes on between two pages. */
const ADDRESSES_PER_PAGE = 20_000;

export function createAddressLoader(database: Database, random: Random): AddressLoader {
  const watch: AddressWatch = { table: createAddressTable(random.bytes(16)), lastNumber: 0n };
  let total: number | undefined;
  let loading: Promise<AddressWatch> | undefined;

  const load = async (signal?: AbortSignal): Promise<AddressWatch> => {
    total = await countAddresses(database);
    watch.table.reserve(total);
    // The gate is closed only for reading how far the registrations are, not while loading.
    const last = await database.transaction(async (tx) => {
      await closeRegistrationGate(tx);
      return lastAddressNumber(tx);
    });
    await loadUpTo(database, watch, last, signal);
    return watch;
  };
  return {
    load: (signal) => {
      loading ??= load(signal).finally(() => {
        total = undefined;
      });
      loading.catch(() => {
        loading = undefined;
      });
      return loading;
    },
    progress: () => (total === undefined ? null : { loaded: Math.min(watch.table.size, total), total }),
  };
}

/** Loads every address registered until now. */
export function loadAddressWatch(database: Database, random: Random): Promise<AddressWatch> {
  return createAddressLoader(database, random).load();
}

/**
 * Feeds the table with what was registered since. Call it behind the closed gate: then nothing with a lower
 * number can commit any more. Another chain may have fed it meanwhile, so whether something is new to the caller
 * shows in `lastNumber`, not here.
 */
export async function loadNewAddresses(tx: Sql, watch: AddressWatch): Promise<void> {
  await loadUpTo(tx, watch, await lastAddressNumber(tx));
}

/**
 * Feeds the table for whoever must not wait for the next commit. Where nothing was registered it costs one look at an
 * index; else the gate is closed for a moment.
 */
export async function feedNewAddresses(database: Database, watch: AddressWatch): Promise<void> {
  if ((await lastAddressNumber(database)) <= watch.lastNumber) return;
  await database.transaction(async (tx) => {
    await closeRegistrationGate(tx);
    await loadNewAddresses(tx, watch);
  });
}

/**
 * @param last read behind the closed gate: no registration at or below it can appear any more, so each page is final
 * @throws the signal's reason when it aborts
 */
async function loadUpTo(sql: Sql, watch: AddressWatch, last: bigint, signal?: AbortSignal): Promise<void> {
  let number = watch.lastNumber;
  while (number < last) {
    signal?.throwIfAborted();
    const page = await packAddresses(sql, { after: number, upTo: last, limit: ADDRESSES_PER_PAGE });
    watch.table.addPacked(page.packed);
    number = page.lastNumber ?? last;
    if (number > watch.lastNumber) watch.lastNumber = number;
  }
}
