import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { creditEntry, type LedgerItem, unlockEntry } from "../../ledger/entry.ts";
import { bookEntries } from "../../ledger/ledger-store.ts";
import { deleteIdempotencyKeys } from "../../merchants/idempotency-store.ts";
import { createTestApi, type TestApi } from "../../testing/api.ts";
import { createTestDatabase, type TestDatabase } from "../../testing/database.ts";
import { assetOf, CHAIN_ID, seedChain, USDT } from "../../testing/factory.ts";
import { type BalancesBody, debitShape } from "../answers.ts";

let db: TestDatabase;
let api: TestApi;
let assetId: number;

beforeAll(async () => {
  db = await createTestDatabase();
  const [asset] = await seedChain(db.database, [assetOf({ token: USDT, currency: "USDT", decimals: 6 })]);
  assetId = asset?.id ?? 0;
  api = await createTestApi(db);
});
afterAll(() => db.drop());

/** Gives a user 10 USDT available and 3 locked. */
async function fund(userId: string): Promise<void> {
  const item = (reference: string, amountBaseUnits: bigint): LedgerItem => ({
    reference: `${reference} ${userId}`,
    generation: 1,
    merchantId: api.merchantId,
    userId,
    assetId,
    amountBaseUnits,
  });
  const free = item("free", 10_000_000n);
  await db.database.transaction(async (tx) => {
    await bookEntries(tx, [creditEntry(free), creditEntry(item("locked", 3_000_000n))]);
    const unlock = unlockEntry(free);
    await bookEntries(tx, unlock === null ? [] : [unlock]);
  });
}

const debit = (userId: string, key: string | null, amount: string, more: object = {}) =>
  api.call("POST", `/v1/users/${userId}/debits`, {
    body: { chainId: CHAIN_ID, token: USDT, amount, ...more },
    headers: key === null ? {} : { "idempotency-key": key },
  });

async function available(userId: string): Promise<string | undefined> {
  const { body } = await api.call("GET", `/v1/users/${userId}/balances`);
  return (body as BalancesBody).assets[0]?.available;
}

describe("debiting a user", () => {
  test("takes from what is available, as an entry of the ledger", async () => {
    await fund("alice");
    const answer = await debit("alice", "order-1", "2.5", { note: "withdrawal 77" });
    expect(answer.status).toBe(201);
    const body = debitShape.parse(answer.body);
    expect(body).toMatchObject({ userId: "alice", currency: "USDT", amount: "2.5", note: "withdrawal 77" });
    expect(await available("alice")).toBe("7.5");
    const entries = await db.database.query(
      `SELECT e.kind, array_agg(a.kind || ' ' || p.amount ORDER BY p.line) AS postings
       FROM ledger_entries e JOIN ledger_postings p ON p.entry_id = e.id JOIN ledger_accounts a ON a.id = p.account_id
       WHERE e.reference = $1 GROUP BY e.id`,
      [body.id],
    );
    expect(entries).toEqual([{ kind: "debit", postings: ["available -2500000", "suspense 2500000"] }]);
  });

  test("happens once under one key, also after the kept answer is forgotten", async () => {
    await fund("bob");
    const first = await debit("bob", "once", "4");
    expect((await debit("bob", "once", "4")).body).toEqual(first.body);
    await db.database.query("UPDATE idempotency_keys SET created_at = now() - interval '100 hours'");
    expect(await deleteIdempotencyKeys(db.database, 72)).toBeGreaterThan(0);
    const late = await debit("bob", "once", "4");
    expect([late.status, late.body]).toEqual([200, first.body]);
    expect(await available("bob")).toBe("6");
    await db.database.query("DELETE FROM idempotency_keys");
    const other = await debit("bob", "once", "5");
    expect([other.status, other.body]).toMatchObject([409, { code: "idempotency_conflict" }]);
  });

  test("is refused when it takes more than there is available, and may be sent again under its key", async () => {
    await fund("carol");
    const answer = await debit("carol", "too-much", "10.000001");
    expect([answer.status, answer.body]).toMatchObject([409, { code: "insufficient_balance" }]);
    expect(answer.headers["content-type"]).toMatch(/problem\+json/);
    expect(await available("carol")).toBe("10");
    expect((await debit("carol", "too-much", "10")).status).toBe(201);
    expect(await available("carol")).toBe("0");
  });

  test("spends nothing twice when many ask at once", async () => {
    await fund("dave");
    const answers = await Promise.all(Array.from({ length: 12 }, (_, n) => debit("dave", `race-${n}`, "3")));
    const statuses = answers.map((answer) => answer.status).sort();
    expect(statuses).toEqual([201, 201, 201, ...Array.from({ length: 9 }, () => 409)]);
    expect(await available("dave")).toBe("1");
  });

  test("needs a key, a known asset and an amount above zero that the asset can show", async () => {
    const refused = async (answer: ReturnType<typeof debit>) => {
      const { status, body } = await answer;
      return [status, (body as { code: string }).code];
    };
    expect(await refused(debit("alice", null, "1"))).toEqual([400, "idempotency_key_required"]);
    expect(await refused(debit("alice", "k1", "1", { token: null }))).toEqual([404, "not_found"]);
    expect(await refused(debit("alice", "k2", "0.0000001"))).toEqual([422, "invalid_amount"]);
    expect(await refused(debit("alice", "k3", "0"))).toEqual([422, "invalid_amount"]);
    expect(await refused(debit("alice", "k4", "1", { note: "" }))).toEqual([400, "invalid_request"]);
  });

  test("touches only the caller's own users", async () => {
    await fund("erin");
    const other = await api.addMerchant("Other");
    const answer = await api.call("POST", "/v1/users/erin/debits", {
      body: { chainId: CHAIN_ID, token: USDT, amount: "1" },
      headers: { "idempotency-key": "theirs" },
      key: other.key,
    });
    expect([answer.status, answer.body]).toMatchObject([409, { code: "insufficient_balance" }]);
    expect(await available("erin")).toBe("10");
  });
});
