/** [tx] What operators do to merchants and their keys, each with its row in the audit log. */
import { appendAudit } from "../audit/audit-store.ts";
import type { Actor } from "../core/actor.ts";
import type { Database } from "../db/database.ts";
import { createApiKey, type NewApiKey, revokeApiKey, type WantedApiKey } from "../merchants/api-key-store.ts";
import type { ExtendedKey } from "../merchants/extended-key.ts";
import { createMerchant, getMerchant, type Merchant } from "../merchants/merchant-store.ts";
import type { Random } from "../runtime/random.ts";
import { keepExtendedKey, withFreeIndex } from "./keep-extended-keys.ts";

export interface Keeping {
  readonly database: Database;
  readonly random: Random;
  readonly actor: Actor;
}

export interface KeyedMerchant {
  readonly merchant: Merchant;
  readonly apiKey: NewApiKey;
}

/** @throws {InputError} `name_taken`, `invalid_request`, `extended_key_taken`; there is no merchant then */
export async function openMerchant(
  { database, random, actor }: Keeping,
  { key, ...wanted }: WantedApiKey & { readonly name: string; readonly key?: ExtendedKey | undefined },
): Promise<KeyedMerchant> {
  const ready = key === undefined ? undefined : await withFreeIndex(database, { key, fromIndex: 0 });
  return database.transaction(async (tx) => {
    const made = await createMerchant(tx, random, wanted);
    const { merchant, apiKey } = made;
    const detail = { name: merchant.name, keyId: apiKey.id, ...keyDetail(wanted) };
    await appendAudit(tx, { actor, action: "merchant.create", subject: merchant.id, detail });
    if (ready !== undefined) await keepExtendedKey(tx, actor, merchant.id, ready);
    return made;
  });
}

/** @param wanted.merchant an id or a name @throws {InputError} `not_found`, `invalid_request` */
export async function issueKey(
  { database, random, actor }: Keeping,
  wanted: WantedApiKey & { readonly merchant: string },
): Promise<KeyedMerchant> {
  const merchant = await getMerchant(database, wanted.merchant);
  return database.transaction(async (tx) => {
    const apiKey = await createApiKey(tx, random, { ...wanted, merchantId: merchant.id });
    const detail = { merchantId: merchant.id, ...keyDetail(wanted) };
    await appendAudit(tx, { actor, action: "key.create", subject: apiKey.id, detail });
    return { merchant, apiKey };
  });
}

/** @throws {InputError} `not_found` */
export async function endKey(
  { database, actor }: Keeping,
  id: string,
): Promise<{ id: string; merchantId: string }> {
  return database.transaction(async (tx) => {
    const revoked = await revokeApiKey(tx, id);
    const detail = { merchantId: revoked.merchantId };
    await appendAudit(tx, { actor, action: "key.revoke", subject: id, detail });
    return revoked;
  });
}

function keyDetail({ operator, operatorName = null }: WantedApiKey) {
  return { operator, operatorName };
}
