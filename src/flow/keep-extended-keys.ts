/** [tx] What operators do to merchants' extended public keys, each with its row in the audit log. */
import { appendAudit } from "../audit/audit-store.ts";
import type { Actor } from "../core/actor.ts";
import type { Database, Sql } from "../db/database.ts";
import type { ExtendedKey } from "../merchants/extended-key.ts";
import {
  findFreeIndex,
  type KeptKey,
  removeExtendedKey,
  setExtendedKey,
} from "../merchants/extended-key-store.ts";
import { getMerchant } from "../merchants/merchant-store.ts";

export interface KeyKeeping {
  readonly database: Database;
  readonly actor: Actor;
}

export interface WantedKey {
  readonly key: ExtendedKey;
  /** No address before it is derived: those belong to something else. */
  readonly fromIndex: number;
}

/**
 * Makes a key the merchant's current one, from the first index whose address is free.
 *
 * @param wanted.merchant an id or a name
 * @throws {InputError} `not_found`, `extended_key_taken`
 */
export async function giveExtendedKey(
  { database, actor }: KeyKeeping,
  { merchant: idOrName, ...wanted }: WantedKey & { readonly merchant: string },
): Promise<KeptKey> {
  const merchant = await getMerchant(database, idOrName);
  const ready = await withFreeIndex(database, wanted);
  return database.transaction((tx) => keepExtendedKey(tx, actor, merchant.id, ready));
}

/** It may have to look at many addresses, so it is done before the transaction that takes the key's lock. */
export async function withFreeIndex(database: Database, { key, fromIndex }: WantedKey): Promise<WantedKey> {
  return { key, fromIndex: await findFreeIndex(database, key.branch, fromIndex) };
}

/** The same within a transaction that made the merchant. @throws {InputError} `extended_key_taken` */
export async function keepExtendedKey(
  tx: Sql,
  actor: Actor,
  merchantId: string,
  { key, fromIndex }: WantedKey,
): Promise<KeptKey> {
  const kept = await setExtendedKey(tx, merchantId, key, fromIndex);
  const detail = { fingerprint: kept.fingerprint, nextIndex: kept.nextIndex };
  await appendAudit(tx, { actor, action: "xpub.set", subject: merchantId, detail });
  return kept;
}

/**
 * Derives nothing more for the merchant. Answers the key that was; `undefined`: there was none.
 *
 * @param idOrName the merchant's @throws {InputError} `not_found`
 */
export async function takeExtendedKeyAway(
  { database, actor }: KeyKeeping,
  idOrName: string,
): Promise<KeptKey | undefined> {
  const merchant = await getMerchant(database, idOrName);
  return database.transaction(async (tx) => {
    const kept = await removeExtendedKey(tx, merchant.id);
    if (kept === undefined) return undefined;
    const detail = { fingerprint: kept.fingerprint, nextIndex: kept.nextIndex };
    await appendAudit(tx, { actor, action: "xpub.remove", subject: merchant.id, detail });
    return kept;
  });
}
