/** Merchants' extended public keys, and the addresses that are derived from them. */
import { InputError } from "../core/errors.ts";
import { type Address, bytesToHex, hexToBytes } from "../core/hex.ts";
import type { Sql } from "../db/database.ts";
import {
  findAddress,
  passRegistrationGate,
  type RegisteredAddress,
  registerNewAddressIn,
} from "./address-store.ts";
import { type Branch, createDerivation, type ExtendedKey, pathBelow } from "./extended-key.ts";

/** For whom an address is derived. */
export interface WantedDerivation {
  readonly merchantId: string;
  readonly userId: string;
  /** The order that it is for; `null`: it is the user's own. */
  readonly orderNo: string | null;
}

/** A merchant's key as it is kept. */
export interface KeptKey extends ExtendedKey {
  readonly merchantId: string;
  /** The next address's, unless somebody registers that address before. */
  readonly nextIndex: number;
}

interface KeyRow {
  id: number;
  merchant_id: string;
  public_key: string;
  fingerprint: string;
  path_prefix: string;
  branch: Buffer;
  next_index: number;
}

/**
 * Takes the next address of the merchant's extended public key and registers it: for an order, or as the user's own.
 * A user has one own address of each key, and whoever asks again gets it again. An index whose address somebody has
 * registered before is passed over.
 *
 * Concurrency: the key's row is locked until the transaction ends, so derivations for one merchant come one after the
 * other, and one that is rolled back leaves no gap. The registration gate is passed before, always in this order:
 * whoever waits for the row may hold up an ingest, and never waits for one. So commit soon after it, and do not register
 * an address by name in the same transaction before: another might wait for that one with the row in its hands.
 *
 * Cost: some 5 ms on two busy cores, 1 ms of it the derivation, and so some 240 addresses a second for one merchant.
 *
 * @throws {InputError} `address_required` when the merchant has no key
 */
export async function takeNextAddress(tx: Sql, wanted: WantedDerivation): Promise<RegisteredAddress> {
  await passRegistrationGate(tx);
  const key = await lockCurrentKey(tx, wanted.merchantId);
  const own = wanted.orderNo === null ? await findOwnAddress(tx, key, wanted) : undefined;
  return own ?? deriveNext(tx, key, wanted);
}

/**
 * Makes a key the merchant's current one. The one before keeps its place: taken up again, it goes on from there.
 *
 * @param fromIndex no lower one is taken any more
 * @throws {InputError} `extended_key_taken` when another merchant has it, or one with the same addresses
 */
export async function setExtendedKey(
  tx: Sql,
  merchantId: string,
  key: ExtendedKey,
  fromIndex: number,
): Promise<KeptKey> {
  await removeExtendedKey(tx, merchantId);
  const [row] = await tx.query<KeyRow>(
    `INSERT INTO extended_keys AS kept (merchant_id, public_key, fingerprint, path_prefix, branch, next_index)
     VALUES ($1, $2, $3, $4, $5, $6)
     ON CONFLICT (branch) DO UPDATE SET is_current = true,
       next_index = greatest(kept.next_index, excluded.next_index)
     WHERE kept.merchant_id = excluded.merchant_id
     RETURNING *`,
    [merchantId, key.text, key.fingerprint, key.pathPrefix, key.branch, fromIndex],
  );
  if (row === undefined) {
    throw new InputError(
      "extended_key_taken",
      "Another merchant has this extended public key, or one with the same addresses",
      { fingerprint: key.fingerprint },
    );
  }
  return toKeptKey(row);
}

/** From now on nothing is derived for the merchant. What was derived stays watched. */
export async function removeExtendedKey(tx: Sql, merchantId: string): Promise<KeptKey | undefined> {
  // Two that change a merchant's key at once come one after the other.
  await tx.query("SELECT FROM merchants WHERE id = $1 FOR NO KEY UPDATE", [merchantId]);
  const [row] = await tx.query<KeyRow>(
    "UPDATE extended_keys SET is_current = false WHERE merchant_id = $1 AND is_current RETURNING *",
    [merchantId],
  );
  return row === undefined ? undefined : toKeptKey(row);
}

/** The merchant's current one. */
export async function findExtendedKey(sql: Sql, merchantId: string): Promise<KeptKey | undefined> {
  const [row] = await sql.query<KeyRow>("SELECT * FROM extended_keys WHERE merchant_id = $1 AND is_current", [
    merchantId,
  ]);
  return row === undefined ? undefined : toKeptKey(row);
}

const INDEXES_AT_ONCE = 100;

/**
 * The first index from here on that the key, where it is known, has not passed, and whose address nobody has registered.
 * A merchant who imported the addresses of a wallet has many in a row: `takeNextAddress` would pass over them too, one
 * by one and with the key's row locked.
 */
export async function findFreeIndex(sql: Sql, branch: Branch, from: number): Promise<number> {
  const { addressAt } = createDerivation(branch);
  const [known] = await sql.query<{ next_index: number }>(
    "SELECT next_index FROM extended_keys WHERE branch = $1",
    [branch],
  );
  for (let first = Math.max(from, known?.next_index ?? 0); ; first += INDEXES_AT_ONCE) {
    const addresses = Array.from({ length: INDEXES_AT_ONCE }, (_, n) => addressAt(first + n));
    const rows = await sql.query<{ address: Buffer }>(
      "SELECT address FROM watched_addresses WHERE address = ANY ($1::bytea[])",
      [addresses.flatMap((address) => (address === null ? [] : [hexToBytes(address)]))],
    );
    const registered = new Set<Address>(rows.map((row) => bytesToHex(row.address)));
    const free = addresses.findIndex((address) => address !== null && !registered.has(address));
    if (free >= 0) return first + free;
  }
}

async function lockCurrentKey(tx: Sql, merchantId: string): Promise<KeyRow> {
  const select = () =>
    tx.query<KeyRow>("SELECT * FROM extended_keys WHERE merchant_id = $1 AND is_current FOR UPDATE", [
      merchantId,
    ]);
  // Who waited while the key was changed gets nothing: the old one is current no more, and a statement sees no row
  // that was made after it began. The next statement does.
  const row = (await select())[0] ?? (await select())[0];
  if (row !== undefined) return row;
  throw new InputError(
    "address_required",
    "address is missing, and the merchant has no extended public key to take the next one from",
  );
}

async function findOwnAddress(
  tx: Sql,
  key: KeyRow,
  { merchantId, userId }: WantedDerivation,
): Promise<RegisteredAddress | undefined> {
  const [row] = await tx.query<{ address: Buffer }>(
    "SELECT address FROM derived_addresses WHERE extended_key_id = $1 AND user_id = $2",
    [key.id, userId],
  );
  const own = row === undefined ? undefined : await findAddress(tx, merchantId, bytesToHex(row.address));
  return own === undefined ? undefined : { ...own, isNew: false };
}

async function deriveNext(
  tx: Sql,
  key: KeyRow,
  { merchantId, userId, orderNo }: WantedDerivation,
): Promise<RegisteredAddress> {
  const { addressAt } = createDerivation(key.branch);
  for (let index = key.next_index; ; index++) {
    const address = addressAt(index);
    if (address === null) continue;
    const order = orderNo === null ? {} : { orderNo };
    const registered = await registerNewAddressIn(tx, { address, merchantId, userId, ...order });
    if (registered === undefined) continue;
    await tx.query(
      `WITH moved AS (UPDATE extended_keys SET next_index = $2 + 1 WHERE id = $1)
       INSERT INTO derived_addresses (extended_key_id, index, address, user_id) VALUES ($1, $2, $3, $4)`,
      [key.id, index, hexToBytes(address), orderNo === null ? userId : null],
    );
    const path = pathBelow(toKeptKey(key), index);
    return { ...registered, derivation: { keyFingerprint: key.fingerprint, path, index } };
  }
}

function toKeptKey(row: KeyRow): KeptKey {
  return {
    merchantId: row.merchant_id,
    text: row.public_key,
    fingerprint: row.fingerprint,
    pathPrefix: row.path_prefix,
    branch: row.branch,
    nextIndex: row.next_index,
  };
}
