/**
 * The ledger in the database. Entries and postings are only ever inserted; triggers keep them balanced and
 * unchanged, and fold postings into the stored balances in the same statement.
 */
import { FatalError } from "../core/errors.ts";
import { type Address, bytesToHex } from "../core/hex.ts";
import type { Sql } from "../db/database.ts";
import {
  type Account,
  accountCode,
  type Entry,
  type LedgerItem,
  reversalEntry,
  userAccount,
} from "./entry.ts";

/**
 * Books entries, all in one statement.
 *
 * @throws {FatalError} `ledger_refused` when one of them is booked already: (reference, generation, kind) is
 * unique, so a repeat can never count twice.
 */
export async function bookEntries(tx: Sql, entries: readonly Entry[]): Promise<void> {
  if (entries.length === 0) return;
  await ensureAccounts(
    tx,
    entries.flatMap((each) => each.postings.map((posting) => posting.account)),
  );
  const postings = entries.flatMap((each, index) =>
    each.postings.map((posting, line) => ({ index, line, code: accountCode(posting.account), ...posting })),
  );
  const booked = await tx.query<{ entries: bigint }>(
    `WITH wanted AS (
       SELECT * FROM unnest($1::text[], $2::text[], $3::integer[]) WITH ORDINALITY
         AS e(kind, reference, generation, position)
     ), written AS (
       INSERT INTO ledger_entries (kind, reference, generation, reverses)
       SELECT w.kind, w.reference, w.generation, CASE WHEN w.kind = 'reversal' THEN (
         SELECT credit.id FROM ledger_entries credit
         WHERE credit.reference = w.reference AND credit.generation = w.generation AND credit.kind = 'credit') END
       FROM wanted w
       ORDER BY w.position
       ON CONFLICT (reference, generation, kind) DO NOTHING
       RETURNING id, kind, reference, generation
     ), posted AS (
       INSERT INTO ledger_postings (entry_id, line, account_id, asset_id, amount)
       SELECT written.id, p.line, a.id, a.asset_id, p.amount
       FROM unnest($4::integer[], $5::smallint[], $6::text[], $7::numeric[]) AS p(entry_index, line, code, amount)
       JOIN wanted w ON w.position = p.entry_index + 1
       JOIN written USING (kind, reference, generation)
       JOIN ledger_accounts a ON a.code = p.code
     )
     SELECT count(*) AS entries FROM written`,
    [
      entries.map((each) => each.kind),
      entries.map((each) => each.reference),
      entries.map((each) => each.generation),
      postings.map((posting) => posting.index),
      postings.map((posting) => posting.line),
      postings.map((posting) => posting.code),
      postings.map((posting) => posting.amountBaseUnits.toString()),
    ],
  );
  if (booked[0]?.entries !== BigInt(entries.length)) {
    throw new FatalError("ledger_refused", "A ledger entry was to be booked a second time", {
      wanted: entries.length,
      booked: booked[0]?.entries ?? 0n,
      first: entries[0]?.reference,
    });
  }
}

/**
 * Reversals of credited deposits, with what is left on each account taken first. Locks the accounts in the order
 * of their ids until the transaction ends, so that nothing can be spent between this and the booking.
 */
export async function planReversals(
  tx: Sql,
  items: readonly { item: LedgerItem; from: "locked" | "available" }[],
): Promise<{ entry: Entry; shortfallBaseUnits: bigint }[]> {
  const balances = await lockBalances(
    tx,
    items.map(({ item, from }) => accountCode(userAccount(from, item))),
  );
  return items.map(({ item, from }) => {
    const code = accountCode(userAccount(from, item));
    const balance = balances.get(code) ?? 0n;
    const taken = balance < item.amountBaseUnits ? balance : item.amountBaseUnits;
    balances.set(code, balance - taken);
    return { entry: reversalEntry(item, from, balance), shortfallBaseUnits: item.amountBaseUnits - taken };
  });
}

export interface UserBalance {
  readonly chainId: number;
  readonly token: Address | null;
  readonly currency: string;
  readonly decimals: number;
  readonly availableBaseUnits: bigint;
  readonly lockedBaseUnits: bigint;
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
  }>(
    `SELECT s.chain_id, s.token, s.currency, s.decimals,
       coalesce(sum(a.balance) FILTER (WHERE a.kind = 'available'), 0)::text AS available,
       coalesce(sum(a.balance) FILTER (WHERE a.kind = 'locked'), 0)::text AS locked
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
  }));
}

/** Accounts come into being with their first posting. Sorted, so that two transactions cannot deadlock over them. */
async function ensureAccounts(tx: Sql, accounts: readonly Account[]): Promise<void> {
  const byCode = new Map(accounts.map((account) => [accountCode(account), account]));
  const sorted = [...byCode].sort(([a], [b]) => (a < b ? -1 : 1));
  const owner = (account: Account) => (account.kind === "custody" ? null : account);
  await tx.query(
    `INSERT INTO ledger_accounts (code, kind, asset_id, merchant_id, user_id, balance)
     SELECT code, kind, asset_id, merchant_id, user_id, CASE WHEN merchant_id IS NULL THEN NULL ELSE 0 END
     FROM unnest($1::text[], $2::text[], $3::integer[], $4::text[], $5::text[]) AS t(code, kind, asset_id, merchant_id, user_id)
     ON CONFLICT (code) DO NOTHING`,
    [
      sorted.map(([code]) => code),
      sorted.map(([, account]) => account.kind),
      sorted.map(([, account]) => account.assetId),
      sorted.map(([, account]) => owner(account)?.merchantId ?? null),
      sorted.map(([, account]) => owner(account)?.userId ?? null),
    ],
  );
}

async function lockBalances(tx: Sql, codes: readonly string[]): Promise<Map<string, bigint>> {
  const rows = await tx.query<{ code: string; balance: string }>(
    "SELECT code, balance::text FROM ledger_accounts WHERE code = ANY($1) ORDER BY id FOR NO KEY UPDATE",
    [[...new Set(codes)]],
  );
  return new Map(rows.map((row) => [row.code, BigInt(row.balance)]));
}
