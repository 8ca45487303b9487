import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { checksumAddress } from "../../core/hex.ts";
import { parseExtendedKey } from "../../merchants/extended-key.ts";
import { setExtendedKey, takeNextAddress } from "../../merchants/extended-key-store.ts";
import { createTestApi, type TestApi } from "../../testing/api.ts";
import { createTestDatabase, type TestDatabase } from "../../testing/database.ts";
import { addressOf, CHAIN_ID, seedChain } from "../../testing/factory.ts";
import { walletAddress, walletKey } from "../../testing/wallet.ts";
import { addressDetailShape, addressShape } from "../answers.ts";

const KEY = parseExtendedKey(walletKey().public);

let db: TestDatabase;
let api: TestApi;
beforeAll(async () => {
  db = await createTestDatabase();
  api = await createTestApi(db);
  await seedChain(db.database);
  await db.database.transaction((tx) => setExtendedKey(tx, api.merchantId, KEY, 0));
});
afterAll(() => db.drop());

const ask = (userId: string, more: Record<string, unknown> = {}, headers: Record<string, string> = {}) =>
  api.call("POST", "/v1/addresses", { body: { userId, ...more }, headers });
const addressIn = ({ body }: { body: unknown }) => addressShape.parse(body).address;
const indexIn = ({ body }: { body: unknown }) => addressShape.parse(body).derivation?.index;

describe("assigning an address without naming one", () => {
  test("answers 201 with the next of the merchant's key, and 200 with the same when it is asked for again", async () => {
    const first = await ask("alice");
    const derivation = { keyFingerprint: KEY.fingerprint, path: "0/0", index: 0 };
    expect(first).toMatchObject({ status: 201, body: { userId: "alice", orderNo: null, derivation } });
    expect(addressIn(first)).toBe(checksumAddress(walletAddress(0)));
    expect(await ask("alice")).toMatchObject({ status: 200, body: first.body as object });
    const named = await ask("alice", { address: addressIn(first) });
    expect(named).toMatchObject({ status: 200, body: first.body as object });
    const shown = await api.call("GET", `/v1/addresses/${addressIn(first)}`);
    expect(addressDetailShape.parse(shown.body)).toMatchObject(first.body as object);
  });

  test("shows no derivation of an address that was named, nor the key anywhere", async () => {
    const named = await ask("alice", { address: addressOf("named") });
    expect(named).toMatchObject({ status: 201, body: { orderNo: null, derivation: null } });
    expect((await ask("alice")).text).not.toContain("xpub");
  });

  test("gives twenty users that ask at once twenty addresses, and one user one", async () => {
    const names = Array.from({ length: 20 }, (_, n) => `crowd ${n}`);
    const many = await Promise.all(names.map((name) => ask(name)));
    expect(many.map(({ status }) => status)).toEqual(names.map(() => 201));
    expect(new Set(many.map(addressIn)).size).toBe(20);
    const indexes = many.map(indexIn).sort((a = 0, b = 0) => a - b);
    expect((indexes.at(-1) ?? 0) - (indexes[0] ?? 0)).toBe(19);
    const one = await Promise.all(names.map(() => ask("impatient")));
    expect(new Set(one.map(addressIn)).size).toBe(1);
    expect(one.filter(({ status }) => status === 201)).toHaveLength(1);
  });

  test("never gives an order's address, which says whose it is", async () => {
    const wanted = { merchantId: api.merchantId, userId: "buyer", orderNo: "A-1" };
    const order = await db.database.transaction((tx) => takeNextAddress(tx, wanted));
    const own = await ask("buyer");
    expect(own).toMatchObject({ status: 201, body: { orderNo: null } });
    expect(addressIn(own)).not.toBe(checksumAddress(order.address));
    const shown = await api.call("GET", `/v1/addresses/${order.address}`);
    expect(shown).toMatchObject({ status: 200, body: { orderNo: "A-1", derivation: { path: "0/22" } } });
  });

  test("takes watchFrom, for an address that was derived before too", async () => {
    await db.database.query("UPDATE chains SET cursor_number = 50, head_number = 60");
    const first = await ask("past", { watchFrom: { [CHAIN_ID]: 30 } });
    expect(first).toMatchObject({ status: 201, body: { rescans: [{ fromBlock: 30, toBlock: 50 }] } });
    const earlier = await ask("past", { watchFrom: { [CHAIN_ID]: 20 } });
    expect(earlier).toMatchObject({ status: 200, body: { rescans: [{ fromBlock: 20, toBlock: 50 }] } });
    expect(addressIn(earlier)).toBe(addressIn(first));
  });

  test("uses no index up when it is refused", async () => {
    const refused = await ask("future", { watchFrom: { [CHAIN_ID]: 61 } });
    expect(refused).toMatchObject({ status: 422, body: { code: "invalid_watch_from" } });
    const before = indexIn(await ask("before")) ?? 0;
    await ask("future", { watchFrom: { [CHAIN_ID]: 61 } });
    expect(indexIn(await ask("after"))).toBe(before + 1);
  });

  test("is answered once under an Idempotency-Key", async () => {
    const once = { "idempotency-key": "derive-once" };
    const answers = await Promise.all(Array.from({ length: 5 }, () => ask("once", {}, once)));
    expect(new Set(answers.map(({ status, text }) => `${status} ${text}`)).size).toBe(1);
    expect(answers[0]?.status).toBe(201);
  });

  test("is refused for a merchant without a key, and for an address that another merchant's key has", async () => {
    const { key } = await api.addMerchant("Keyless");
    const call = (body: object) => api.call("POST", "/v1/addresses", { key, body });
    expect(await call({ userId: "alice" })).toMatchObject({
      status: 400,
      body: { code: "address_required" },
    });
    expect(await call({ userId: "alice", address: walletAddress(0) })).toMatchObject({
      status: 409,
      body: { code: "address_taken" },
    });
  });
});
