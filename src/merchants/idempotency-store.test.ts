import { createHash } from "node:crypto";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Sql } from "../db/database.ts";
import { systemRandom } from "../runtime/random.ts";
import { createTestDatabase, type TestDatabase } from "../testing/database.ts";
import { answerOnce, deleteIdempotencyKeys, type IdempotentRequest } from "./idempotency-store.ts";
import { createMerchant } from "./merchant-store.ts";

let db: TestDatabase;
let merchantId = "";
beforeAll(async () => {
  db = await createTestDatabase();
  merchantId = (await createMerchant(db.database, systemRandom, { name: "Shop", operator: false })).merchant
    .id;
});
afterAll(() => db.drop());

function requestOf(key: string, body = "body"): IdempotentRequest {
  return { merchantId, key, requestHash: createHash("sha256").update(body).digest() };
}

/** Work that leaves a trace in its transaction and answers a number that rises. */
function countingWork(name: string) {
  let runs = 0;
  return async (tx: Sql) => {
    await tx.query("INSERT INTO chains (chain_id, name) VALUES ((SELECT count(*) + 1 FROM chains), $1)", [
      name,
    ]);
    return { status: 201, response: `{"b":${++runs},"a":1}` };
  };
}

async function tracesOf(name: string): Promise<number> {
  const rows = await db.database.query("SELECT 1 FROM chains WHERE name = $1", [name]);
  return rows.length;
}

test("answers the same text again without doing the work again", async () => {
  const work = countingWork("again");
  const first = await answerOnce(db.database, requestOf("again"), work);
  expect(await answerOnce(db.database, requestOf("again"), work)).toEqual(first);
  expect(first).toEqual({ status: 201, response: '{"b":1,"a":1}' });
  expect(await tracesOf("again")).toBe(1);
});

test("refuses the key for another request, and takes it from another merchant", async () => {
  await answerOnce(db.database, requestOf("conflict"), countingWork("conflict"));
  await expect(
    answerOnce(db.database, requestOf("conflict", "other"), countingWork("conflict")),
  ).rejects.toMatchObject({ code: "idempotency_conflict" });

  const other = await createMerchant(db.database, systemRandom, { name: "Other", operator: false });
  const theirs = { ...requestOf("conflict", "other"), merchantId: other.merchant.id };
  await answerOnce(db.database, theirs, countingWork("conflict"));
  expect(await tracesOf("conflict")).toBe(2);
});

test("lets one of many at once do the work, and the others wait for its answer", async () => {
  const work = countingWork("at once");
  const answers = await Promise.all(
    Array.from({ length: 8 }, () => answerOnce(db.database, requestOf("at once"), work)),
  );
  expect(new Set(answers.map((answer) => answer.response)).size).toBe(1);
  expect(await tracesOf("at once")).toBe(1);
});

test("does not burn the key when the work fails", async () => {
  const failing = async (tx: Sql) => {
    await countingWork("failed")(tx);
    throw new Error("crashed");
  };
  await expect(answerOnce(db.database, requestOf("failed"), failing)).rejects.toThrow("crashed");
  expect(await tracesOf("failed")).toBe(0);
  await answerOnce(db.database, requestOf("failed"), countingWork("failed"));
  expect(await tracesOf("failed")).toBe(1);
});

test("forgets keys when they are old", async () => {
  await answerOnce(db.database, requestOf("old"), countingWork("old"));
  await db.database.query(
    "UPDATE idempotency_keys SET created_at = now() - interval '25 hours' WHERE key = 'old'",
  );
  expect(await deleteIdempotencyKeys(db.database, 24)).toBe(1);
  await answerOnce(db.database, requestOf("old"), countingWork("old"));
  expect(await tracesOf("old")).toBe(2);
});
