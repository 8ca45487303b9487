/**
 * Which entries a batch of deposits needs, by what stands in the ledger now. Every function here locks what its
 * answer depends on until the transaction ends: receivables first, then balances, each in the order of their ids.
 */
import type { Sql } from "../db/database.ts";
import {
  accountCode,
  creditEntry,
  type Entry,
  type LedgerItem,
  type Reversal,
  reversalOf,
  unlockEntry,
  userAccount,
} from "./entry.ts";

/** Credits, in the order given. What a user owes is repaid first, by the first of them that can. */
export async function planCredits(tx: Sql, items: readonly LedgerItem[]): Promise<Entry[]> {
  const owed = await lockOwed(tx, items);
  if (owed.size === 0) return items.map((item) => creditEntry(item));
  return items.map((item) => {
    const entry = creditEntry(item, owed.get(receivableCode(item)) ?? 0n);
    noteRepaid(owed, item, entry);
    return entry;
  });
}

/** Unlocks, in the order given. One whose credit was used up by what the user owed has none. */
export async function planUnlocks(tx: Sql, items: readonly LedgerItem[]): Promise<Entry[]> {
  const owed = await lockOwed(tx, items);
  // Only the credit of a user who once owed something can have left less locked than its amount.
  const indebted = items.filter((item) => owed.has(receivableCode(item)));
  const locked = await lockedShares(tx, indebted);
  return items.flatMap((item) => {
    const isPlain = !owed.has(receivableCode(item));
    const entry = isPlain
      ? unlockEntry(item)
      : unlockEntry(item, locked.get(item.reference) ?? 0n, owed.get(receivableCode(item)));
    if (entry === null) return [];
    if (!isPlain) noteRepaid(owed, item, entry);
    return [entry];
  });
}

/** Reversals of credits, in the order given, with what is left taken first. */
export async function planReversals(
  tx: Sql,
  items: readonly { item: LedgerItem; isUnlocked: boolean }[],
): Promise<Reversal[]> {
  if (items.length === 0) return [];
  const locked = await lockedShares(
    tx,
    items.flatMap(({ item, isUnlocked }) => (isUnlocked ? [] : [item])),
  );
  const available = await lockBalances(
    tx,
    items.map(({ item }) => availableCode(item)),
  );
  return items.map(({ item, isUnlocked }) => {
    const code = availableCode(item);
    const availableBaseUnits = available.get(code) ?? 0n;
    const lockedBaseUnits = isUnlocked ? 0n : (locked.get(item.reference) ?? 0n);
    const reversal = reversalOf(item, { lockedBaseUnits, availableBaseUnits });
    available.set(code, availableBaseUnits - reversal.takenFromAvailable);
    return reversal;
  });
}

/** What a user has available of an asset, locked until the transaction ends. */
export async function lockAvailable(tx: Sql, item: LedgerItem): Promise<bigint> {
  return (await lockBalances(tx, [availableCode(item)])).get(availableCode(item)) ?? 0n;
}

const receivableCode = (item: LedgerItem) => accountCode(userAccount("receivable", item));
const availableCode = (item: LedgerItem) => accountCode(userAccount("available", item));

/** By the receivable's code, for every user who ever owed something: what is owed now, zero or more. */
async function lockOwed(tx: Sql, items: readonly LedgerItem[]): Promise<Map<string, bigint>> {
  const rows = await tx.query<{ code: string; owed: string }>(
    `SELECT code, (-balance)::text AS owed FROM ledger_accounts
     WHERE kind = 'receivable' AND code = ANY ($1) ORDER BY id FOR NO KEY UPDATE`,
    [[...new Set(items.map(receivableCode))]],
  );
  return new Map(rows.map((row) => [row.code, BigInt(row.owed)]));
}

function noteRepaid(owed: Map<string, bigint>, item: LedgerItem, entry: Entry): void {
  const repaid = entry.postings.find(({ account }) => account.kind === "receivable")?.amountBaseUnits ?? 0n;
  const code = receivableCode(item);
  owed.set(code, (owed.get(code) ?? 0n) - repaid);
}

/** By reference: what its credit left locked. */
async function lockedShares(tx: Sql, items: readonly LedgerItem[]): Promise<Map<string, bigint>> {
  if (items.length === 0) return new Map();
  const rows = await tx.query<{ reference: string; amount: string }>(
    `SELECT e.reference, p.amount::text
     FROM unnest($1::text[], $2::integer[]) AS w(reference, generation)
     JOIN ledger_entries e ON e.reference = w.reference AND e.generation = w.generation AND e.kind = 'credit'
     JOIN ledger_postings p ON p.entry_id = e.id
     JOIN ledger_accounts a ON a.id = p.account_id AND a.kind = 'locked'`,
    [items.map((item) => item.reference), items.map((item) => item.generation)],
  );
  return new Map(rows.map((row) => [row.reference, BigInt(row.amount)]));
}

async function lockBalances(tx: Sql, codes: readonly string[]): Promise<Map<string, bigint>> {
  const rows = await tx.query<{ code: string; balance: string }>(
    "SELECT code, balance::text FROM ledger_accounts WHERE code = ANY ($1) ORDER BY id FOR NO KEY UPDATE",
    [[...new Set(codes)]],
  );
  return new Map(rows.map((row) => [row.code, BigInt(row.balance)]));
}
