/** Merchants: the tenants. Everything else belongs to one of them. */
import { InputError } from "../core/errors.ts";
import type { Database } from "../db/database.ts";
import { Prisma } from "../db/generated/client.ts";
import type { Random } from "../runtime/random.ts";
import { drawApiKey, type NewApiKey } from "./api-key-store.ts";

export interface Merchant {
  readonly id: string;
  readonly name: string;
  readonly createdAt: Date;
}

const ID_PREFIX = "mer_";
const UNIQUE_VIOLATION = "P2002";

/**
 * Makes a merchant together with its first API key.
 *
 * @throws {InputError} `name_taken`, or `invalid_request` for a name that could not be told from an id.
 */
export async function createMerchant(
  database: Database,
  random: Random,
  wanted: { readonly name: string; readonly operator: boolean },
): Promise<{ merchant: Merchant; apiKey: NewApiKey }> {
  const name = checkName(wanted.name);
  const { row, apiKey } = drawApiKey(random, wanted.operator);
  try {
    const id = ID_PREFIX + random.bytes(10).toString("hex");
    const merchant = await database.prisma.merchant.create({ data: { id, name, apiKeys: { create: row } } });
    return { merchant, apiKey };
  } catch (rawError) {
    if (rawError instanceof Prisma.PrismaClientKnownRequestError && rawError.code === UNIQUE_VIOLATION) {
      throw new InputError("name_taken", `There is a merchant named ${JSON.stringify(name)} already`, {
        name,
      });
    }
    throw rawError;
  }
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
