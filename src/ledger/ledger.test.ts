import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { MAX_UINT256 } from "../core/amount.ts";
import { createTestDatabase, type TestDatabase } from "../testing/database.ts";
import { assetOf, MERCHANT_ID, seedChain } from "../testing/factory.ts";
import { creditEntry, debitEntry, type Entry, type LedgerItem, reversalOf, unlockEntry } from "./entry.ts";
import { bookEntries, listUserBalances } from "./ledger-store.ts";
import { planCredits, planReversals, planUnlocks } from "./plan-store.ts";

let test: TestDatabase;
let assetId: number;

beforeAll(async () => {
  test = await createTestDatabase();
  const [asset] = await seedChain(test.database, [assetOf()]);
  assetId = asset?.id ?? 0;
});
afterAll(() => test.drop());

function item(reference: string, userId: string, amountBaseUnits: bigint, generation = 1): LedgerItem {
  return { reference, generation, merchantId: MERCHANT_ID, userId, assetId, amountBaseUnits };
}

const book = (...entries: (Entry | null)[]) =>
  test.database.transaction((tx) =>
    bookEntries(
      tx,
      entries.filter((entry) => entry !== null),
    ),
  );
const credit = (...items: LedgerItem[]) =>
  test.database.transaction(async (tx) => bookEntries(tx, await planCredits(tx, items)));
const unlock = (...items: LedgerItem[]) =>
  test.database.transaction(async (tx) => bookEntries(tx, await planUnlocks(tx, items)));
const reverse = (isUnlocked: boolean, ...items: LedgerItem[]) =>
  test.database.transaction(async (tx) => {
    const reversals = await planReversals(
      tx,
      items.map((each) => ({ item: each, isUnlocked })),
    );
    await bookEntries(
      tx,
      reversals.map((reversal) => reversal.entry),
    );
    return reversals.map((reversal) => reversal.shortfallBaseUnits);
  });

async function balanceOf(userId: string) {
  const [balance] = await listUserBalances(test.database, MERCHANT_ID, userId);
  return balance === undefined
    ? null
    : {
        locked: balance.lockedBaseUnits,
        available: balance.availableBaseUnits,
        owed: balance.owedBaseUnits,
      };
}

const inShort = (entry: Entry | null) =>
  entry?.postings.map(({ account, amountBaseUnits }) => [account.kind, amountBaseUnits]) ?? null;

describe("entries", () => {
  const given = item("dep_sum", "sum", 100n);

  it("sum to zero, whatever they are for", () => {
    const entries = [
      creditEntry(given),
      creditEntry(given, 30n),
      unlockEntry(given),
      unlockEntry(given, 70n, 20n),
      debitEntry(given),
      reversalOf(given, { lockedBaseUnits: 60n, availableBaseUnits: 10n }).entry,
    ];
    for (const entry of entries) {
      expect(entry?.postings.reduce((sum, posting) => sum + posting.amountBaseUnits, 0n)).toBe(0n);
    }
  });

  it("repay what the user owes before anything is credited or unlocked", () => {
    expect(inShort(creditEntry(given, 30n))).toEqual([
      ["custody", -100n],
      ["receivable", 30n],
      ["locked", 70n],
    ]);
    expect(inShort(creditEntry(given, 300n))).toEqual([
      ["custody", -100n],
      ["receivable", 100n],
    ]);
    expect(inShort(unlockEntry(given, 70n, 20n))).toEqual([
      ["locked", -70n],
      ["receivable", 20n],
      ["available", 50n],
    ]);
    expect(unlockEntry(given, 0n, 200n)).toBeNull();
  });

  it("B4: take back what is left of the credit, then what is available, and make the rest a receivable", () => {
    const { entry, shortfallBaseUnits } = reversalOf(given, {
      lockedBaseUnits: 60n,
      availableBaseUnits: 10n,
    });
    expect(shortfallBaseUnits).toBe(30n);
    expect(inShort(entry)).toEqual([
      ["locked", -60n],
      ["available", -10n],
      ["receivable", -30n],
      ["custody", 100n],
    ]);
  });
});

describe("the ledger", () => {
  it("holds a credit as locked until its unlock makes it available", async () => {
    const given = item("dep_1", "alice", 10n);
    await credit(given);
    expect(await balanceOf("alice")).toEqual({ locked: 10n, available: 0n, owed: 0n });
    await unlock(given);
    expect(await balanceOf("alice")).toEqual({ locked: 0n, available: 10n, owed: 0n });
  });

  it("refuses to book the same credit twice", async () => {
    const given = item("dep_twice", "bob", 5n);
    await credit(given);
    await expect(credit(given)).rejects.toMatchObject({ code: "ledger_refused" });
    expect(await balanceOf("bob")).toEqual({ locked: 5n, available: 0n, owed: 0n });
  });

  it("credits again, by a new entry, what was reversed and included again", async () => {
    const first = item("dep_again", "carol", 5n);
    await credit(first);
    await reverse(false, first);
    expect(await balanceOf("carol")).toEqual({ locked: 0n, available: 0n, owed: 0n });
    await credit({ ...first, generation: 2 });
    expect(await balanceOf("carol")).toEqual({ locked: 5n, available: 0n, owed: 0n });
  });

  it("B4: splits what is left over several reversals of one user", async () => {
    const items = [item("dep_s1", "dave", 60n), item("dep_s2", "dave", 60n)];
    await credit(...items);
    await unlock(...items);
    await book(debitEntry(item("deb_s", "dave", 50n)));
    expect(await reverse(true, ...items)).toEqual([0n, 50n]);
    expect(await balanceOf("dave")).toEqual({ locked: 0n, available: 0n, owed: 50n });
  });

  it("B4: repays a receivable from later credits first, over several of them in one batch", async () => {
    const spent = item("dep_spent", "gina", 100n);
    await credit(spent);
    await unlock(spent);
    await book(debitEntry(item("deb_spent", "gina", 100n)));
    expect(await reverse(true, spent)).toEqual([100n]);

    const later = [item("dep_l1", "gina", 60n), item("dep_l2", "gina", 60n), item("dep_l3", "gina", 5n)];
    await credit(...later);
    expect(await balanceOf("gina")).toEqual({ locked: 25n, available: 0n, owed: 0n });
    await unlock(...later);
    expect(await balanceOf("gina")).toEqual({ locked: 0n, available: 25n, owed: 0n });
  });

  it("B4: repays a receivable from what was credited before it, when that is unlocked", async () => {
    const [spent, other] = [item("dep_u1", "hugo", 100n), item("dep_u2", "hugo", 70n)];
    await credit(spent, other);
    await unlock(spent);
    await book(debitEntry(item("deb_u", "hugo", 80n)));
    expect(await reverse(true, spent)).toEqual([80n]);
    expect(await balanceOf("hugo")).toEqual({ locked: 70n, available: 0n, owed: 80n });
    await unlock(other);
    expect(await balanceOf("hugo")).toEqual({ locked: 0n, available: 0n, owed: 10n });
  });

  it("B4: makes what a credit repaid owed again when that credit is reversed, and leaves other credits locked", async () => {
    const spent = item("dep_r1", "ida", 100n);
    await credit(spent);
    await unlock(spent);
    await book(debitEntry(item("deb_r", "ida", 100n)));
    await reverse(true, spent);
    const [repaying, other] = [item("dep_r2", "ida", 120n), item("dep_r3", "ida", 40n)];
    await credit(repaying, other);
    expect(await balanceOf("ida")).toEqual({ locked: 60n, available: 0n, owed: 0n });
    expect(await reverse(false, repaying)).toEqual([100n]);
    expect(await balanceOf("ida")).toEqual({ locked: 40n, available: 0n, owed: 100n });
    // Included again: a new entry, which repays again.
    await credit({ ...repaying, generation: 2 });
    expect(await balanceOf("ida")).toEqual({ locked: 60n, available: 0n, owed: 0n });
  });

  it("A12: keeps the largest amount exact, and totals of many of them", async () => {
    await credit(...[1, 2, 3].map((n) => item(`dep_max_${n}`, "whale", MAX_UINT256)));
    expect(await balanceOf("whale")).toEqual({ locked: 3n * MAX_UINT256, available: 0n, owed: 0n });
  });

  it("names the credit that a reversal reverses, which can be reversed once", async () => {
    const given = item("dep_once", "erin", 5n);
    await credit(given);
    await reverse(false, given);
    await expect(reverse(false, given)).rejects.toMatchObject({ code: "ledger_refused" });
  });

  it("makes the accounts of one user once when two transactions credit at the same time", async () => {
    const items = Array.from({ length: 40 }, (_, n) => item(`dep_race_${n}`, `racer ${n % 5}`, 1n));
    await Promise.all(items.map((each) => credit(each)));
    expect(await balanceOf("racer 3")).toEqual({ locked: 8n, available: 0n, owed: 0n });
  });
});

describe("the database itself", () => {
  const refuses = (sql: string) => expect(test.database.query(sql)).rejects.toThrow();

  it("refuses to change, delete or truncate entries and postings", async () => {
    await credit(item("dep_fixed", "fred", 5n));
    await refuses("UPDATE ledger_postings SET amount = amount + 1");
    await refuses("DELETE FROM ledger_postings");
    await refuses("TRUNCATE ledger_postings");
    await refuses("UPDATE ledger_entries SET kind = 'unlock'");
    await refuses("DELETE FROM ledger_entries");
    await refuses("TRUNCATE ledger_entries CASCADE");
  });

  it("refuses them also to a session that replicates", async () => {
    await expect(
      test.database.transaction(async (tx) => {
        await tx.query("SET LOCAL session_replication_role = replica");
        await tx.query("DELETE FROM ledger_postings");
      }),
    ).rejects.toThrow(/append-only/);
  });

  it("refuses an entry without postings, and one that does not sum to zero", async () => {
    await refuses(
      "INSERT INTO ledger_entries (kind, reference, generation) VALUES ('credit', 'dep_empty', 1)",
    );
    const given = creditEntry(item("dep_skew", "greg", 5n));
    const skewed = {
      ...given,
      postings: given.postings.map((p, n) => (n === 0 ? { ...p, amountBaseUnits: -4n } : p)),
    };
    await expect(book(skewed)).rejects.toThrow(/sum to zero/);
  });

  it("refuses postings added to an entry of another transaction", async () => {
    await credit(item("dep_late", "hank", 5n));
    await expect(
      test.database.query(
        `INSERT INTO ledger_postings (entry_id, line, account_id, asset_id, amount)
         SELECT entry_id, line + 10, account_id, asset_id, amount FROM ledger_postings p
         JOIN ledger_entries e ON e.id = p.entry_id WHERE e.reference = 'dep_late'`,
      ),
    ).rejects.toThrow(/in the transaction of their entry/);
  });

  it("refuses postings that sum to zero only together with another entry's, and a single one", async () => {
    const entry = (reference: string, ...amounts: bigint[]): Entry => ({
      ...creditEntry(item(reference, "jane", 5n)),
      postings: amounts.map((amountBaseUnits) => ({
        account: { kind: "custody", assetId },
        amountBaseUnits,
      })),
    });
    await expect(book(entry("dep_a", 1n, 1n), entry("dep_b", -1n, -1n))).rejects.toThrow(/sum to zero/);
    await expect(book(entry("dep_a", 1n))).rejects.toThrow(/1 postings/);
  });

  it("refuses a posting on an account that is not there, or is another asset's", async () => {
    const post = (account: string) =>
      test.database.query(
        `WITH e AS (SELECT uuid_v7() AS id), w AS (
           INSERT INTO ledger_entries (id, kind, reference, generation) SELECT id, 'credit', 'dep_lost', 1 FROM e)
         INSERT INTO ledger_postings (entry_id, line, account_id, asset_id, amount)
         SELECT e.id, line, ${account}, amount FROM e, (VALUES (0, -1), (1, 1)) AS p(line, amount)`,
      );
    await expect(post(`999999999, ${assetId}`)).rejects.toThrow(/not there, or is of another asset/);
    await expect(
      post(`(SELECT id FROM ledger_accounts WHERE kind = 'custody' LIMIT 1), ${assetId + 1}`),
    ).rejects.toThrow(/not there, or is of another asset/);
  });

  it("refuses an account that begins with a balance, changes what it is, or is deleted", async () => {
    await refuses("UPDATE ledger_accounts SET user_id = 'mallory' WHERE user_id = 'alice'");
    await refuses("UPDATE ledger_accounts SET kind = 'available' WHERE user_id = 'alice'");
    await refuses("DELETE FROM ledger_accounts");
    await refuses("TRUNCATE ledger_accounts");
    await expect(
      test.database.query(
        `INSERT INTO ledger_accounts (code, kind, asset_id, merchant_id, user_id, balance)
         VALUES ('gift', 'available', $1, $2, 'mallory', 100)`,
        [assetId, MERCHANT_ID],
      ),
    ).rejects.toThrow(/a balance changes only by postings/);
  });

  it("refuses a balance that changes without a posting, and one below zero", async () => {
    await refuses("UPDATE ledger_accounts SET balance = balance + 1 WHERE balance IS NOT NULL");
    await expect(book(unlockEntry(item("dep_none", "nobody", 5n)))).rejects.toThrow(/no_overdraft/);
  });

  it("keeps every stored balance equal to the sum of its postings", async () => {
    const off = await test.database.query(
      `SELECT a.code FROM ledger_accounts a LEFT JOIN ledger_postings p ON p.account_id = a.id
       WHERE a.balance IS NOT NULL GROUP BY a.id HAVING a.balance <> coalesce(sum(p.amount), 0)`,
    );
    expect(off).toEqual([]);
  });
});
