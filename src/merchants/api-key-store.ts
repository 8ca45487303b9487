/**
 * API keys: `dpk_<id>_<secret>`. The id finds the row, the secret (256 random bits) proves the right to it. Only
 * its SHA-256 is kept: nobody can guess 256 bits, so a slow hash would protect nothing and cost every request.
 */
import { createHash, timingSafeEqual } from "node:crypto";
import { OPERATOR_NAME, OPERATOR_NAME_RULE } from "../core/actor.ts";
import { InputError } from "../core/errors.ts";
import type { Sql } from "../db/database.ts";
import type { Random } from "../runtime/random.ts";

/** A key as it is shown, once. */
export interface NewApiKey {
  readonly id: string;
  readonly key: string;
  readonly operator: boolean;
}

export interface WantedApiKey {
  /** It may use the operator's part of the API. */
  readonly operator: boolean;
  /** Which person has it, where that is known: what four eyes go by. Only of an operator's key. */
  readonly operatorName?: string | null;
}

/** Who asks. */
export interface Caller {
  readonly keyId: string;
  readonly merchantId: string;
  /** May use the operator's part of the API. */
  readonly operator: boolean;
  readonly operatorName: string | null;
}

const KEY = /^dpk_([0-9a-f]{16})_([A-Za-z0-9_-]{43})$/;

/**
 * @throws when the merchant does not exist: look it up before.
 * @throws {InputError} `invalid_request` for a name that an operator cannot have
 */
export async function createApiKey(
  sql: Sql,
  random: Random,
  wanted: WantedApiKey & { readonly merchantId: string },
): Promise<NewApiKey> {
  const { row, apiKey } = drawApiKey(random, wanted);
  await sql.query(
    "INSERT INTO api_keys (id, merchant_id, operator, operator_name, secret_hash) VALUES ($1, $2, $3, $4, $5)",
    [row.id, wanted.merchantId, row.operator, row.operatorName, row.secretHash],
  );
  return apiKey;
}

/**
 * A new key with the row that will recognise it; the row is not written yet.
 *
 * @throws {InputError} `invalid_request` for a name that an operator cannot have
 */
export function drawApiKey(random: Random, { operator, operatorName = null }: WantedApiKey) {
  if (operatorName !== null) assertOperatorName(operator, operatorName);
  const id = random.bytes(8).toString("hex");
  const secret = random.bytes(32).toString("base64url");
  return {
    row: { id: `key_${id}`, operator, operatorName, secretHash: hashSecret(secret) },
    apiKey: { id: `key_${id}`, key: `dpk_${id}_${secret}`, operator } satisfies NewApiKey,
  };
}

function assertOperatorName(operator: boolean, name: string): void {
  if (!operator) throw new InputError("invalid_request", "Only an operator's key has an operator's name");
  if (OPERATOR_NAME.test(name)) return;
  throw new InputError("invalid_request", `An operator's name ${OPERATOR_NAME_RULE}`, { name });
}

/** Whose key this is; `undefined` when it is unknown, wrong or revoked. Asked by every request: one index look-up. */
export async function authenticateApiKey(sql: Sql, key: string): Promise<Caller | undefined> {
  const [, id, secret] = KEY.exec(key) ?? [];
  if (id === undefined || secret === undefined) return undefined;
  const [row] = await sql.query<{
    id: string;
    merchant_id: string;
    operator: boolean;
    operator_name: string | null;
    secret_hash: Buffer;
  }>(
    `SELECT id, merchant_id, operator, operator_name, secret_hash FROM api_keys
     WHERE id = $1 AND revoked_at IS NULL`,
    [`key_${id}`],
  );
  if (row === undefined || !timingSafeEqual(row.secret_hash, hashSecret(secret))) return undefined;
  return {
    keyId: row.id,
    merchantId: row.merchant_id,
    operator: row.operator,
    operatorName: row.operator_name,
  };
}

/**
 * From now on the key opens nothing. Revoking it again changes nothing.
 *
 * @throws {InputError} `not_found`
 */
export async function revokeApiKey(sql: Sql, id: string): Promise<{ id: string; merchantId: string }> {
  // By the database's clock, and only the first time.
  const [revoked] = await sql.query<{ merchant_id: string }>(
    "UPDATE api_keys SET revoked_at = coalesce(revoked_at, now()) WHERE id = $1 RETURNING merchant_id",
    [id],
  );
  if (revoked === undefined)
    throw new InputError("not_found", `There is no API key with the id ${JSON.stringify(id)}`);
  return { id, merchantId: revoked.merchant_id };
}

function hashSecret(secret: string): Buffer {
  return createHash("sha256").update(secret).digest();
}
