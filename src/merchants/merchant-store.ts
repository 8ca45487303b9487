/** Merchants: the tenants. Everything else belongs to one of them. */
import { InputError } from "../core/errors.ts";
import type { Database, Sql } from "../db/database.ts";
import type { Random } from "../runtime/random.ts";
import { drawApiKey, type NewApiKey, type WantedApiKey } from "./api-key-store.ts";

export interface Merchant {
  readonly id: string;
  readonly name: string;
  readonly createdAt: Date;
}

const ID_PREFIX = "mer_";

/**
 * Makes a merchant together with its first API key.
 *
 * @throws {InputError} `name_taken`, or `invalid_request` for a name that could not be told from an id.
 */
export async function createMerchant(
  sql: Sql,
  random: Random,
  wanted: WantedApiKey & { readonly name: string },
): Promise<{ merchant: Merchant; apiKey: NewApiKey }> {
  const name = checkName(wanted.name);
  const id = ID_PREFIX + random.bytes(10).toString("hex");
  const { row, apiKey } = drawApiKey(random, wanted);
  const [merchant] = await sql.query<Merchant>(
    `WITH made AS (
       INSERT INTO merchants (id, name) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING
       RETURNING id, name, created_at
     ), keyed AS (
       INSERT INTO api_keys (id, merchant_id, operator, operator_name, secret_hash)
       SELECT $3, id, $4, $5, $6 FROM made
     )
     SELECT id, name, created_at AS "createdAt" FROM made`,
    [id, name, row.id, row.operator, row.operatorName, row.secretHash],
  );
  if (merchant === undefined) {
    throw new InputError("name_taken", `There is a merchant named ${JSON.stringify(name)} already`, { name });
  }
  return { merchant, apiKey };
}

export async function findMerchant(database: Database, idOrName: string): Promise<Merchant | undefined> {
  const where = idOrName.startsWith(ID_PREFIX) ? { id: idOrName } : { name: idOrName };
  return (await database.prisma.merchant.findUnique({ where })) ?? undefined;
}

/** @throws {InputError} `not_found` */
export async function getMerchant(database: Database, idOrName: string): Promise<Merchant> {
  const merchant = await findMerchant(database, idOrName);
  if (merchant === undefined) {
    throw new InputError("not_found", `There is no merchant with the id or name ${JSON.stringify(idOrName)}`);
  }
  return merchant;
}

/** In the order they were made. */
export async function listMerchants(database: Database): Promise<Merchant[]> {
  return database.prisma.merchant.findMany({ orderBy: [{ createdAt: "asc" }, { id: "asc" }] });
}

function checkName(name: string): string {
  const trimmed = name.trim();
  if (!/^[^\p{Cc}\p{Cs}]{1,200}$/u.test(trimmed)) {
    throw new InputError("invalid_request", "A merchant's name must be 1 to 200 characters in one line");
  }
  if (trimmed.startsWith(ID_PREFIX)) {
    throw new InputError("invalid_request", `A merchant's name must not begin with ${ID_PREFIX}, as ids do`);
  }
  return trimmed;
}
