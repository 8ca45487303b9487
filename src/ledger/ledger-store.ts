/**
 * The ledger in the database. Entries and postings are only ever inserted; triggers keep them balanced and
 * unchanged, and fold postings into the stored balances in the same statement.
 */
import { FatalError } from "../core/errors.ts";
import { type Address, bytesToHex } from "../core/hex.ts";
import { hasSqlState, type Sql } from "../db/database.ts";
import { type Account, accountCode, type Entry, isSystemAccount } from "./entry.ts";

/**
 * Books entries, all in one statement.
 *
 * @throws {FatalError} `ledger_refused` when one of them is booked already: (reference, generation, kind) is
 * unique, so a repeat can never count twice.
 */
export async function bookEntries(tx: Sql, entries: readonly Entry[]): Promise<void> {
  if (entries.length === 0) return;
  const postings = entries.flatMap((entry, index) =>
    entry.postings.map((posting, line) => ({ position: index + 1, line, ...posting })),
  );
  const idOf = await accountIds(
    tx,
    postings.map((posting) => posting.account),
  );
  try {
    await tx.query(BOOK, [
      entries.map((entry) => entry.kind),
      entries.map((entry) => entry.reference),
      entries.map((entry) => entry.generation),
      postings.map((posting) => posting.position),
      postings.map((posting) => posting.line),
      postings.map((posting) => idOf(posting.account)),
      postings.map((posting) => posting.account.assetId),
      postings.map((posting) => posting.amountBaseUnits.toString()),
    ]);
  } catch (rawError) {
    if (!hasSqlState(rawError, "23505")) throw rawError;
    throw new FatalError(
      "ledger_refused",
      "A ledger entry was to be booked a second time",
      { wanted: entries.length, first: entries[0]?.reference },
      rawError,
    );
  }
}

const BOOK = `
  WITH wanted AS MATERIALIZED (
    SELECT uuid_v7() AS id, e.* FROM unnest($1::text[], $2::text[], $3::integer[]) WITH ORDINALITY
      AS e(kind, reference, generation, position)
  ), written AS (
    INSERT INTO ledger_entries (id, kind, reference, generation, reverses)
    SELECT w.id, w.kind, w.reference, w.generation, CASE WHEN w.kind = 'reversal' THEN (
      SELECT credit.id FROM ledger_entries credit
      WHERE credit.reference = w.reference AND credit.generation = w.generation AND credit.kind = 'credit') END
    FROM wanted w
  )
  INSERT INTO ledger_postings (entry_id, line, account_id, asset_id, amount)
  SELECT w.id, p.line, p.account_id, p.asset_id, p.amount
  FROM unnest($4::bigint[], $5::smallint[], $6::bigint[], $7::integer[], $8::numeric[])
    AS p(position, line, account_id, asset_id, amount)
  JOIN wanted w ON w.position = p.position`;

export interface UserBalance {
  readonly chainId: number;
  readonly token: Address | null;
  readonly currency: string;
  readonly decimals: number;
  readonly availableBaseUnits: bigint;
  readonly lockedBaseUnits: bigint;
  /** What reversals took back and the user no longer had. Later money repays it first. */
  readonly owedBaseUnits: bigint;
}

/** A user's balances, by asset; empty for a user who never had any. */
export async function listUserBalances(sql: Sql, merchantId: string, userId: string): Promise<UserBalance[]> {
  const rows = await sql.query<{
    chain_id: bigint;
    token: Buffer | null;
    currency: string;
    decimals: number;
    available: string;
    locked: string;
    owed: string;
  }>(
    `SELECT s.chain_id, s.token, s.currency, s.decimals,
       coalesce(sum(a.balance) FILTER (WHERE a.kind = 'available'), 0)::text AS available,
       coalesce(sum(a.balance) FILTER (WHERE a.kind = 'locked'), 0)::text AS locked,
       coalesce(-sum(a.balance) FILTER (WHERE a.kind = 'receivable'), 0)::text AS owed
     FROM ledger_accounts a JOIN assets s ON s.id = a.asset_id
     WHERE a.merchant_id = $1 AND a.user_id = $2
     GROUP BY s.id ORDER BY s.chain_id, s.token NULLS FIRST`,
    [merchantId, userId],
  );
  return rows.map((row) => ({
    chainId: Number(row.chain_id),
    token: row.token === null ? null : bytesToHex(row.token),
    currency: row.currency,
    decimals: row.decimals,
    availableBaseUnits: BigInt(row.available),
    lockedBaseUnits: BigInt(row.locked),
    owedBaseUnits: BigInt(row.owed),
  }));
}

/**
 * The ids of accounts; they come into being with their first posting. Made in the order of their codes, so that two
 * transactions cannot deadlock over them.
 */
async function accountIds(tx: Sql, accounts: readonly Account[]): Promise<(account: Account) => bigint> {
  const byCode = new Map(accounts.map((account) => [accountCode(account), account]));
  const ids = await findAccountIds(tx, [...byCode.keys()]);
  const missing = [...byCode].filter(([code]) => !ids.has(code));
  if (missing.length > 0) {
    const sorted = missing.sort(([a], [b]) => (a < b ? -1 : 1));
    await insertAccounts(
      tx,
      sorted.map(([, account]) => account),
    );
    for (const [code, id] of await findAccountIds(
      tx,
      sorted.map(([code]) => code),
    ))
      ids.set(code, id);
  }
  return (account) => {
    const id = ids.get(accountCode(account));
    if (id === undefined)
      throw new FatalError("internal", "A ledger account was not made", { code: accountCode(account) });
    return id;
  };
}

async function findAccountIds(tx: Sql, codes: readonly string[]): Promise<Map<string, bigint>> {
  const rows = await tx.query<{ id: bigint; code: string }>(
    "SELECT id, code FROM ledger_accounts WHERE code = ANY ($1)",
    [codes],
  );
  return new Map(rows.map((row) => [row.code, row.id]));
}

async function insertAccounts(tx: Sql, accounts: readonly Account[]): Promise<void> {
  const owner = (account: Account) => (isSystemAccount(account) ? null : account);
  await tx.query(
    `INSERT INTO ledger_accounts (code, kind, asset_id, merchant_id, user_id, balance)
     SELECT code, kind, asset_id, merchant_id, user_id, CASE WHEN merchant_id IS NULL THEN NULL ELSE 0 END
     FROM unnest($1::text[], $2::text[], $3::integer[], $4::text[], $5::text[]) AS t(code, kind, asset_id, merchant_id, user_id)
     ON CONFLICT (code) DO NOTHING`,
    [
      accounts.map(accountCode),
      accounts.map((account) => account.kind),
      accounts.map((account) => account.assetId),
      accounts.map((account) => owner(account)?.merchantId ?? null),
      accounts.map((account) => owner(account)?.userId ?? null),
    ],
  );
}
