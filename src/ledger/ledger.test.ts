import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { MAX_UINT256 } from "../core/amount.ts";
import { createTestDatabase, type TestDatabase } from "../testing/database.ts";
import { assetOf, MERCHANT_ID, seedChain } from "../testing/factory.ts";
import { creditEntry, type LedgerItem, reversalEntry, unlockEntry } from "./entry.ts";
import { bookEntries, listUserBalances, planReversals } from "./ledger-store.ts";

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

const book = (...entries: Parameters<typeof bookEntries>[1][number][]) =>
  test.database.transaction((tx) => bookEntries(tx, entries));

async function balanceOf(userId: string) {
  const [balance] = await listUserBalances(test.database, MERCHANT_ID, userId);
  return balance === undefined
    ? null
    : { locked: balance.lockedBaseUnits, available: balance.availableBaseUnits };
}

describe("entries", () => {
  it("sum to zero, whatever they are for", () => {
    const given = item("dep_sum", "sum", 7n);
    for (const entry of [creditEntry(given), unlockEntry(given), reversalEntry(given, "available", 3n)]) {
      expect(entry.postings.reduce((sum, posting) => sum + posting.amountBaseUnits, 0n)).toBe(0n);
    }
  });

  it("take back what is left and make the rest a receivable", () => {
    const postings = reversalEntry(item("dep_short", "short", 100n), "available", 20n).postings;
    expect(postings.map(({ account, amountBaseUnits }) => [account.kind, amountBaseUnits])).toEqual([
      ["available", -20n],
      ["receivable", -80n],
      ["custody", 100n],
    ]);
  });
});

describe("the ledger", () => {
  it("holds a credit as locked until its unlock makes it available", async () => {
    const given = item("dep_1", "alice", 10n);
    await book(creditEntry(given));
    expect(await balanceOf("alice")).toEqual({ locked: 10n, available: 0n });
    await book(unlockEntry(given));
    expect(await balanceOf("alice")).toEqual({ locked: 0n, available: 10n });
  });

  it("refuses to book the same credit twice", async () => {
    const given = item("dep_twice", "bob", 5n);
    await book(creditEntry(given));
    await expect(book(creditEntry(given))).rejects.toMatchObject({ code: "ledger_refused" });
    expect(await balanceOf("bob")).toEqual({ locked: 5n, available: 0n });
  });

  it("credits again, by a new entry, what was reversed and included again", async () => {
    const first = item("dep_again", "carol", 5n);
    await book(creditEntry(first));
    await test.database.transaction(async (tx) => {
      const plans = await planReversals(tx, [{ item: first, from: "locked" }]);
      await bookEntries(
        tx,
        plans.map((plan) => plan.entry),
      );
    });
    expect(await balanceOf("carol")).toEqual({ locked: 0n, available: 0n });
    await book(creditEntry({ ...first, generation: 2 }));
    expect(await balanceOf("carol")).toEqual({ locked: 5n, available: 0n });
  });

  it("splits what is left over several reversals of one user", async () => {
    const items = [item("dep_s1", "dave", 60n), item("dep_s2", "dave", 60n)];
    await book(...items.map(creditEntry));
    const plans = await test.database.transaction(async (tx) => {
      // As if 50 had been spent from what is locked.
      const spend = unlockEntry(item("dep_spend", "dave", 50n));
      await bookEntries(tx, [spend]);
      const planned = await planReversals(
        tx,
        items.map((each) => ({ item: each, from: "locked" as const })),
      );
      await bookEntries(
        tx,
        planned.map((plan) => plan.entry),
      );
      return planned;
    });
    expect(plans.map((plan) => plan.shortfallBaseUnits)).toEqual([0n, 50n]);
  });

  it("A12: keeps the largest amount exact, and totals of many of them", async () => {
    await book(...[1, 2, 3].map((n) => creditEntry(item(`dep_max_${n}`, "whale", MAX_UINT256))));
    expect(await balanceOf("whale")).toEqual({ locked: 3n * MAX_UINT256, available: 0n });
  });

  it("names the credit that a reversal reverses, which can be reversed once", async () => {
    const given = item("dep_once", "erin", 5n);
    await book(creditEntry(given));
    const reverse = () =>
      test.database.transaction(async (tx) => {
        const plans = await planReversals(tx, [{ item: given, from: "locked" }]);
        await bookEntries(
          tx,
          plans.map((plan) => plan.entry),
        );
      });
    await reverse();
    await expect(reverse()).rejects.toMatchObject({ code: "ledger_refused" });
  });
});

describe("the database itself", () => {
  const refuses = (sql: string) => expect(test.database.query(sql)).rejects.toThrow();

  it("refuses to change, delete or truncate entries and postings", async () => {
    await book(creditEntry(item("dep_fixed", "fred", 5n)));
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
    await book(creditEntry(item("dep_late", "hank", 5n)));
    await refuses(
      `INSERT INTO ledger_postings (entry_id, line, account_id, asset_id, amount)
       SELECT entry_id, line + 10, account_id, asset_id, amount FROM ledger_postings p
       JOIN ledger_entries e ON e.id = p.entry_id WHERE e.reference = 'dep_late'`,
    );
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
