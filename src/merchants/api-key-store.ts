/**
 * API keys: `dpk_<id>_<secret>`. The id finds the row, the secret (256 random bits) proves the right to it. Only
 * its SHA-256 is kept: nobody can guess 256 bits, so a slow hash would protect nothing and cost every request.
 */
import { createHash, timingSafeEqual } from "node:crypto";
import { InputError } from "../core/errors.ts";
import type { Database, Sql } from "../db/database.ts";
import type { Random } from "../runtime/random.ts";

/** A key as it is shown, once. */
export interface NewApiKey {
  readonly id: string;
  readonly key: string;
  readonly operator: boolean;
}

/** Who asks. */
export interface Caller {
  readonly keyId: string;
  readonly merchantId: string;
  /** May use the operator's part of the API. */
  readonly operator: boolean;
}

const KEY = /^dpk_([0-9a-f]{16})_([A-Za-z0-9_-]{43})$/;

/** @throws when the merchant does not exist: look it up before. */
export async function createApiKey(
  database: Database,
  random: Random,
  wanted: { readonly merchantId: string; readonly operator: boolean },
): Promise<NewApiKey> {
  const { row, apiKey } = drawApiKey(random, wanted.operator);
  await database.prisma.apiKey.create({ data: { ...row, merchantId: wanted.merchantId } });
  return apiKey;
}

/** A new key with the row that will recognise it; the row is not written yet. */
export function drawApiKey(random: Random, operator: boolean) {
  const id = random.bytes(8).toString("hex");
  const secret = random.bytes(32).toString("base64url");
  return {
    row: { id: `key_${id}`, operator, secretHash: new Uint8Array(hashSecret(secret)) },
    apiKey: { id: `key_${id}`, key: `dpk_${id}_${secret}`, operator } satisfies NewApiKey,
  };
}

/** Whose key this is; `undefined` when it is unknown, wrong or revoked. Asked by every request: one index look-up. */
export async function authenticateApiKey(sql: Sql, key: string): Promise<Caller | undefined> {
  const [, id, secret] = KEY.exec(key) ?? [];
  if (id === undefined || secret === undefined) return undefined;
  const [row] = await sql.query<{ id: string; merchant_id: string; operator: boolean; secret_hash: Buffer }>(
    "SELECT id, merchant_id, operator, secret_hash FROM api_keys WHERE id = $1 AND revoked_at IS NULL",
    [`key_${id}`],
  );
  if (row === undefined || !timingSafeEqual(row.secret_hash, hashSecret(secret))) return undefined;
  return { keyId: row.id, merchantId: row.merchant_id, operator: row.operator };
}

/**
 * From now on the key opens nothing. Revoking it again changes nothing.
 *
 * @throws {InputError} `not_found`
 */
export async function revokeApiKey(
  database: Database,
  id: string,
): Promise<{ id: string; merchantId: string }> {
  const found = await database.prisma.apiKey.findUnique({ where: { id } });
  if (found === null)
    throw new InputError("not_found", `There is no API key with the id ${JSON.stringify(id)}`);
  // By the database's clock, and only the first time.
  await database.query("UPDATE api_keys SET revoked_at = now() WHERE id = $1 AND revoked_at IS NULL", [id]);
  return { id: found.id, merchantId: found.merchantId };
}

function hashSecret(secret: string): Buffer {
  return createHash("sha256").update(secret).digest();
}
