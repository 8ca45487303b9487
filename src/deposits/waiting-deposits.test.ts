/** `waiting_deposits`: kept by the database, whoever changes a deposit. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createTestDatabase, type TestDatabase } from "../testing/database.ts";
import { insertDepositRow } from "../testing/deposit-rows.ts";
import { seedChain } from "../testing/factory.ts";

let test: TestDatabase;
beforeAll(async () => {
  test = await createTestDatabase();
  await seedChain(test.database);
});
afterAll(() => test.drop());

const change = (id: string, set: string) =>
  test.database.query(`UPDATE deposits SET ${set} WHERE id = $1`, [id]);

async function waiting(id: string) {
  const rows = await test.database.query<{ said: string }>(
    `SELECT concat_ws(' ', status, 'in', block_number, 'until', due_block, due_tag) AS said FROM waiting_deposits
     WHERE deposit_id = $1`,
    [id],
  );
  return rows.map((row) => row.said);
}

describe("what waits", () => {
  it("follows a deposit from its block to its credit and its unlock, after which it is forgotten", async () => {
    await insertDepositRow(test.database, "dep_plain");
    expect(await waiting("dep_plain")).toEqual(["pending in 1 until 3"]);
    await change("dep_plain", "status = 'credited', credited_at = now()");
    expect(await waiting("dep_plain")).toEqual(["credited in 1 until 5"]);
    await change("dep_plain", "status = 'unlocked', unlocked_at = now()");
    expect(await waiting("dep_plain")).toEqual([]);
  });

  it("knows a deposit that is included again in another block, and one whose threshold changed", async () => {
    await insertDepositRow(test.database, "dep_again");
    await change("dep_again", "status = 'orphaned'");
    expect(await waiting("dep_again")).toEqual([]);
    await change("dep_again", "status = 'pending', block_number = 2, credit_block = 4");
    expect(await waiting("dep_again")).toEqual(["pending in 2 until 4"]);
    await change("dep_again", "credit_block = 7, credit_tag = 'safe'");
    expect(await waiting("dep_again")).toEqual(["pending in 2 until 7 safe"]);
  });

  it("knows a held deposit until its review is over", async () => {
    await insertDepositRow(test.database, "dep_held");
    await change("dep_held", "status = 'held'");
    expect(await waiting("dep_held")).toEqual(["held in 1 until"]);
    await change("dep_held", "status = 'rejected'");
    expect(await waiting("dep_held")).toEqual([]);
  });

  it("costs no index of deposits a new entry when a status changes, so that history does not slow it down", async () => {
    const [row] = await test.database.query<{ columns: string[] }>(
      `SELECT coalesce(array_agg(DISTINCT a.attname::text), '{}') AS columns FROM pg_index i
       JOIN pg_attribute a ON a.attrelid = i.indrelid AND (a.attnum = ANY (i.indkey)
         OR pg_get_expr(i.indpred, i.indrelid) ~ ('\\m' || a.attname || '\\M'))
       WHERE i.indrelid = 'deposits'::regclass
         AND a.attname IN ('status', 'reason', 'sequence', 'credited_at', 'unlocked_at', 'shortfall')`,
    );
    expect(row?.columns).toEqual([]);
  });
});

describe("a deposit", () => {
  it("is never deleted, truncated or renamed", async () => {
    await insertDepositRow(test.database, "dep_kept");
    for (const statement of [
      "DELETE FROM deposits",
      "TRUNCATE deposits CASCADE",
      "UPDATE deposits SET id = 'dep_other' WHERE id = 'dep_kept'",
    ]) {
      await expect(test.database.query(statement)).rejects.toThrow(/is refused/);
    }
  });
});
