/** Watched addresses: which address belongs to which merchant's user. An address has one owner on all chains. */
import { InputError } from "../core/errors.ts";
import { type Address, bytesToHex, checksumAddress, hexToBytes } from "../core/hex.ts";
import type { Database, Sql } from "../db/database.ts";

/** Where a derived address came from: what its owner needs to spend from it. */
export interface Derivation {
  /** Which of the merchant's extended public keys. The key is not told with its addresses: it would link them all. */
  readonly keyFingerprint: string;
  /** Below that key: `0/<index>` for an account's, `<index>` for an external chain's. */
  readonly path: string;
  readonly index: number;
}

export interface WatchedAddress {
  readonly address: Address;
  readonly merchantId: string;
  readonly userId: string;
  /** Of the order that it was made for. */
  readonly orderNo: string | null;
  /** `null`: it was given by the merchant. */
  readonly derivation: Derivation | null;
  readonly createdAt: Date;
}

export interface WantedAddress {
  readonly address: Address;
  readonly merchantId: string;
  readonly userId: string;
  /** The order it is made for, and for nothing else: such an address must be new. */
  readonly orderNo?: string;
}

export interface RegisteredAddress extends WatchedAddress {
  /** `false`: it was this user's before. */
  readonly isNew: boolean;
}

interface AddressRow {
  address: Buffer;
  merchant_id: string;
  user_id: string;
  order_no: string | null;
  created_at: Date;
  /** These are of a derived one that is read, and `null` of others. */
  fingerprint?: string | null;
  path?: string | null;
  index?: number | null;
}

/**
 * Assigns an address to a user; the same again answers the same. Once this resolves, every block that the
 * cursor has not passed yet will be matched against the address: the registration goes through the gate that
 * an ingest closes from its last look at new addresses until its commit.
 *
 * @throws {InputError} `address_taken` when it belongs to another user, or is wanted for an order and not new.
 */
export function registerAddress(database: Database, wanted: WantedAddress): Promise<RegisteredAddress> {
  return database.transaction((tx) => registerAddressIn(tx, wanted));
}

/** The same within a transaction. Whatever this transaction reads of cursors afterwards is behind the gate. */
export async function registerAddressIn(tx: Sql, wanted: WantedAddress): Promise<RegisteredAddress> {
  const registered = await registerNewAddressIn(tx, wanted);
  if (registered !== undefined) return registered;
  if (wanted.orderNo !== undefined)
    throw taken(wanted.address, "The address is assigned already; an order needs one of its own");
  const [row] = await selectAddress(tx, wanted.address);
  if (row === undefined || row.merchant_id !== wanted.merchantId || row.user_id !== wanted.userId) {
    throw taken(wanted.address, "The address is assigned to another user");
  }
  return { ...toWatchedAddress(row), isNew: false };
}

/** Registers it unless it is registered already, to whomever. */
export async function registerNewAddressIn(
  tx: Sql,
  { address, merchantId, userId, orderNo }: WantedAddress,
): Promise<RegisteredAddress | undefined> {
  await passRegistrationGate(tx);
  const [row] = await tx.query<AddressRow>(
    `INSERT INTO watched_addresses (address, merchant_id, user_id, order_no) VALUES ($1, $2, $3, $4)
     ON CONFLICT (address) DO NOTHING RETURNING *`,
    [hexToBytes(address), merchantId, userId, orderNo ?? null],
  );
  return row === undefined ? undefined : { ...toWatchedAddress(row), isNew: true };
}

function taken(address: Address, why: string): InputError {
  return new InputError("address_taken", why, { address: checksumAddress(address) });
}

/** An address and whose it is to be. */
export interface Assignment {
  readonly address: Address;
  readonly userId: string;
}

export interface RegisteredBatch {
  readonly newCount: number;
  /** Places in the batch whose address belongs to another user. */
  readonly taken: readonly number[];
}

/**
 * Assigns many addresses of one merchant at once, in one transaction; those that are assigned so already are left
 * alone. Of two that assign the same address the first counts.
 */
export async function registerAddresses(
  database: Database,
  merchantId: string,
  batch: readonly Assignment[],
): Promise<RegisteredBatch> {
  const values = [
    merchantId,
    batch.map((each) => hexToBytes(each.address)),
    batch.map((each) => each.userId),
  ];
  return database.transaction(async (tx) => {
    await passRegistrationGate(tx);
    // In the order of addresses: two imports of the same ones never wait for each other in a circle.
    const [inserted] = await tx.query<{ count: bigint }>(
      `WITH inserted AS (
         INSERT INTO watched_addresses (address, merchant_id, user_id)
         SELECT DISTINCT ON (address) address, $1, user_id
         FROM unnest($2::bytea[], $3::text[]) WITH ORDINALITY AS given(address, user_id, place)
         ORDER BY address, place
         ON CONFLICT (address) DO NOTHING RETURNING 1
       )
       SELECT count(*) AS count FROM inserted`,
      values,
    );
    const newCount = Number(inserted?.count ?? 0n);
    if (newCount === batch.length) return { newCount, taken: [] };
    const taken = await tx.query<{ place: bigint }>(
      `SELECT given.place FROM unnest($2::bytea[], $3::text[]) WITH ORDINALITY AS given(address, user_id, place)
       JOIN watched_addresses w ON w.address = given.address
       WHERE w.merchant_id <> $1 OR w.user_id <> given.user_id
       ORDER BY given.place`,
      values,
    );
    return { newCount, taken: taken.map((row) => Number(row.place) - 1) };
  });
}

/** The address, if it is one of this merchant's. */
export async function findAddress(
  sql: Sql,
  merchantId: string,
  address: Address,
): Promise<WatchedAddress | undefined> {
  const [row] = await selectAddress(sql, address);
  return row?.merchant_id === merchantId ? toWatchedAddress(row) : undefined;
}

/** Until the transaction ends no ingest closes the gate, so it knows of what is registered here or comes before it. */
export async function passRegistrationGate(tx: Sql): Promise<void> {
  await tx.query("LOCK TABLE registration_gate IN ROW EXCLUSIVE MODE");
}

/**
 * Closes the gate until the transaction ends: no registration can commit meanwhile, and all that have begun
 * to are seen by the statements after this one.
 */
export async function closeRegistrationGate(tx: Sql): Promise<void> {
  await tx.query("LOCK TABLE registration_gate IN SHARE MODE");
}

/** The highest registration there is. Behind the closed gate no lower one can appear any more. */
export async function lastAddressNumber(tx: Sql): Promise<bigint> {
  const [row] = await tx.query<{ number: bigint | null }>(
    "SELECT max(number) AS number FROM watched_addresses",
  );
  return row?.number ?? 0n;
}

/** How many there are, exactly: an index-only scan, a second for ten million. */
export async function countAddresses(sql: Sql): Promise<number> {
  const [row] = await sql.query<{ count: bigint }>("SELECT count(*) AS count FROM watched_addresses");
  return Number(row?.count ?? 0n);
}

/** Registrations in their order: `after` excluded, `upTo` included, no more than `limit`. */
export interface NumberRange {
  readonly after: bigint;
  readonly upTo: bigint;
  readonly limit: number;
}

const ADDRESS_BYTES = 20;

export interface PackedAddresses {
  /** 20 bytes each, one after the other: ten million rows would be ten million objects on their way here. */
  readonly packed: Uint8Array;
  /** Of the last of them; `null` when the range holds none. */
  readonly lastNumber: bigint | null;
}

export async function packAddresses(sql: Sql, range: NumberRange): Promise<PackedAddresses> {
  const [row] = await sql.query<{ packed: Buffer | null; last: bigint | null }>(
    `SELECT string_agg(address, ''::bytea) AS packed, max(number) AS last
     FROM (SELECT address::bytea AS address, number FROM watched_addresses
           WHERE number > $1 AND number <= $2 ORDER BY number LIMIT $3) AS page`,
    [range.after, range.upTo, range.limit],
  );
  return { packed: row?.packed ?? new Uint8Array(), lastNumber: row?.last ?? null };
}

/** Addresses by the order of their registration: few enough to be named one by one. */
export async function listAddresses(
  sql: Sql,
  range: NumberRange,
): Promise<{ readonly addresses: Address[]; readonly lastNumber: bigint | null }> {
  const { packed, lastNumber } = await packAddresses(sql, range);
  const addresses: Address[] = [];
  for (let at = 0; at < packed.length; at += ADDRESS_BYTES)
    addresses.push(bytesToHex(packed.subarray(at, at + ADDRESS_BYTES)));
  return { addresses, lastNumber };
}

function selectAddress(sql: Sql, address: Address): Promise<AddressRow[]> {
  return sql.query<AddressRow>(
    `SELECT w.*, k.fingerprint, k.path_prefix || d.index AS path, d.index FROM watched_addresses w
     LEFT JOIN derived_addresses d ON d.address = w.address
     LEFT JOIN extended_keys k ON k.id = d.extended_key_id
     WHERE w.address = $1`,
    [hexToBytes(address)],
  );
}

function toWatchedAddress(row: AddressRow): WatchedAddress {
  return {
    address: bytesToHex(row.address),
    merchantId: row.merchant_id,
    userId: row.user_id,
    orderNo: row.order_no,
    derivation: toDerivation(row),
    createdAt: row.created_at,
  };
}

function toDerivation({ fingerprint, path, index }: AddressRow): Derivation | null {
  if (fingerprint == null || path == null || index == null) return null;
  return { keyFingerprint: fingerprint, path, index };
}
