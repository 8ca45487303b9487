import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { checksumAddress } from "../../core/hex.ts";
import { judgePending } from "../../deposits/judge-pending.ts";
import { thresholdRules } from "../../flow/ingest-block.ts";
import { recordMoves, recordPending } from "../../flow/record-seen-payments.ts";
import { createTestApi, type TestApi } from "../../testing/api.ts";
import { createTestDatabase, type TestDatabase } from "../../testing/database.ts";
import { addressOf, assetOf, CHAIN_ID, hashOf, seedChain } from "../../testing/factory.ts";
import { addressDetailShape, pageOf, seenPaymentShape } from "../answers.ts";

const page = pageOf(seenPaymentShape, "SeenPaymentPage");

let db: TestDatabase;
let api: TestApi;
let other: { id: string; key: string };

/** Alice: five that wait, and one that was replaced; another merchant's Zoe: one. */
beforeAll(async () => {
  db = await createTestDatabase();
  api = await createTestApi(db);
  const assets = await seedChain(db.database, [assetOf()]);
  other = await api.addMerchant("Other");
  await api.call("POST", "/v1/addresses", { body: { userId: "alice", address: addressOf("alice") } });
  await api.call("POST", "/v1/addresses", {
    key: other.key,
    body: { userId: "zoe", address: addressOf("zoe") },
  });
  const rules = {
    chainId: CHAIN_ID,
    assets: new Map(assets.map((asset) => [asset.token, asset])),
    ownWallets: new Set<`0x${string}`>(),
  };
  const judged = ["1", "2", "3", "4", "5", "6", "zoe"].flatMap((name, index) => {
    const transfer = {
      txHash: hashOf(`tx ${name}`),
      source: "value" as const,
      token: null,
      from: addressOf("payer"),
      sender: addressOf("payer"),
      to: addressOf(name === "zoe" ? "zoe" : "alice"),
      amountBaseUnits: 1_500_000_000_000_000_000n,
      nonce: BigInt(index),
    };
    return judgePending(transfer, rules, thresholdRules) ?? [];
  });
  const { changed } = await recordPending(db.database, CHAIN_ID, judged);
  const sixth = changed.filter((seen) => seen.txHash === hashOf("tx 6"));
  await recordMoves(
    db.database,
    sixth.map((seen) => ({ seen, to: "replaced" as const, replacedBy: hashOf("tx 7") })),
  );
});
afterAll(() => db.drop());

const get = async (query = "", key = api.key) => {
  const answer = await api.call("GET", `/v1/seen-payments${query}`, { key });
  expect(answer.status).toBe(200);
  return page.parse(answer.body);
};
const hashesOf = async (query: string) => (await get(query)).items.map((item) => item.txHash);

describe("GET /v1/seen-payments", () => {
  test("answers what was seen in the mempool, in a deposit's shape as far as there is one", async () => {
    const [item] = (await get(`?txHash=${hashOf("tx 6")}`)).items;
    expect(item).toEqual({
      id: expect.stringMatching(/^see_[0-9a-z]{32}$/),
      sequence: 2,
      status: "replaced",
      reason: null,
      merchantId: api.merchantId,
      userId: "alice",
      orderNo: null,
      chainId: CHAIN_ID,
      currency: "ETH",
      token: null,
      decimals: 18,
      amount: "1.5",
      amountBaseUnits: "1500000000000000000",
      from: checksumAddress(addressOf("payer")),
      to: checksumAddress(addressOf("alice")),
      txHash: hashOf("tx 6"),
      source: "value",
      blockNumber: null,
      blockHash: null,
      blockTime: null,
      verification: "none",
      confirmations: 0,
      creditAt: "3",
      unlockAt: "5",
      detectedAt: expect.any(String),
      creditedAt: null,
      unlockedAt: null,
      sender: checksumAddress(addressOf("payer")),
      nonce: "5",
      changedAt: expect.any(String),
      replacedBy: hashOf("tx 7"),
      minedIn: null,
    });
  });

  test("takes a status, a user, a transaction and an address", async () => {
    expect(await hashesOf("?status=replaced")).toEqual([hashOf("tx 6")]);
    expect(await hashesOf("?status=seen")).toHaveLength(5);
    expect(await hashesOf("?userId=alice")).toHaveLength(6);
    expect(await hashesOf("?userId=bob")).toEqual([]);
    expect(await hashesOf(`?txHash=${hashOf("tx 2")}&status=seen`)).toEqual([hashOf("tx 2")]);
    expect(await hashesOf(`?address=${addressOf("alice")}`)).toHaveLength(6);
    expect(await api.call("GET", "/v1/seen-payments?status=pending")).toMatchObject({ status: 400 });
  });

  test("goes on from page to page without a gap or a repeat", async () => {
    const first = await get("?limit=4");
    const second = await get(`?limit=4&cursor=${first.nextCursor}`);
    expect(second.nextCursor).toBeNull();
    const all = [...first.items, ...second.items].map((item) => item.id);
    expect(new Set(all).size).toBe(6);
  });

  test("shows a merchant nothing of another's", async () => {
    const theirs = await get("", other.key);
    expect(theirs.items.map((item) => [item.userId, item.txHash])).toEqual([["zoe", hashOf("tx zoe")]]);
    expect(await get(`?address=${addressOf("alice")}`, other.key)).toEqual({ items: [], nextCursor: null });
    expect(await get(`?txHash=${hashOf("tx 1")}`, other.key)).toEqual({ items: [], nextCursor: null });
  });
});

test("an address shows what waits to be paid to it, and not what has ended", async () => {
  const answer = await api.call("GET", `/v1/addresses/${addressOf("alice")}`);
  const { seenPayments } = addressDetailShape.parse(answer.body);
  expect(seenPayments.map((seen) => seen.status)).toEqual(Array(5).fill("seen"));
});

test("deposits and balances know nothing of it", async () => {
  expect(await api.call("GET", "/v1/deposits")).toMatchObject({ body: { items: [] } });
  expect(await api.call("GET", "/v1/users/alice/balances")).toMatchObject({ body: { assets: [] } });
});

test("/metrics counts what waits", async () => {
  const { text } = await api.call("GET", "/metrics", { key: null });
  expect(text).toContain(`depositd_seen_payments{chain_id="${CHAIN_ID}"} 6`);
});
