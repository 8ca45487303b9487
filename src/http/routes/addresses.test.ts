import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { checksumAddress } from "../../core/hex.ts";
import { createTestApi, type TestApi } from "../../testing/api.ts";
import { createTestDatabase, type TestDatabase } from "../../testing/database.ts";
import { addressOf, CHAIN_ID, seedChain } from "../../testing/factory.ts";

let db: TestDatabase;
let api: TestApi;
beforeAll(async () => {
  db = await createTestDatabase();
  api = await createTestApi(db);
});
afterAll(() => db.drop());

const assign = (userId: string, address: string | undefined, headers: Record<string, string> = {}) =>
  api.call("POST", "/v1/addresses", { body: { userId, address }, headers });

describe("assigning an address", () => {
  test("answers 201, and 200 for the same again", async () => {
    const address = checksumAddress(addressOf("first"));
    const first = await assign("alice", address);
    expect(first).toMatchObject({ status: 201, body: { address, userId: "alice" } });
    expect(await assign("alice", address)).toMatchObject({ status: 200, body: first.body as object });
    expect(await api.call("GET", `/v1/addresses/${address}`)).toMatchObject({
      status: 200,
      body: first.body as object,
    });
  });

  test("D14: takes upper-case, lower-case and checksummed forms as one address, and refuses a wrong checksum", async () => {
    const address = addressOf("forms");
    const checksummed = checksumAddress(address);
    const upper = `0x${address.slice(2).toUpperCase()}`;
    for (const form of [address, upper, checksummed, upper.replace("0x", "0X")]) {
      expect((await assign("forms", form)).body).toMatchObject({ address: checksummed });
    }
    const letter = checksummed.slice(2).search(/[a-f]/) + 2;
    const wrong =
      checksummed.slice(0, letter) + checksummed.charAt(letter).toUpperCase() + checksummed.slice(letter + 1);
    expect(await assign("forms", wrong)).toMatchObject({ status: 422, body: { code: "invalid_address" } });
  });

  test("is refused for one that another user or merchant has", async () => {
    await assign("alice", addressOf("taken"));
    expect(await assign("bob", addressOf("taken"))).toMatchObject({
      status: 409,
      body: { code: "address_taken" },
    });
    const { key } = await api.addMerchant("Other");
    const theirs = await api.call("POST", "/v1/addresses", {
      key,
      body: { userId: "alice", address: addressOf("taken") },
    });
    expect(theirs).toMatchObject({ status: 409, body: { code: "address_taken" } });
    expect(await api.call("GET", `/v1/addresses/${addressOf("taken")}`, { key })).toMatchObject({
      status: 404,
    });
  });

  test("needs an address where the merchant has no extended public key to take the next one from", async () => {
    expect(await assign("alice", undefined)).toMatchObject({
      status: 400,
      body: { code: "address_required" },
    });
  });

  test.each([
    ["nothing", ""],
    ["a control character", "a\u0000b"],
    ["half a surrogate pair", "\ud800"],
    ["more than 200 characters", "x".repeat(201)],
  ])("is refused for a user named %s", async (_what, userId) => {
    expect(await assign(userId, addressOf("nobody"))).toMatchObject({
      status: 400,
      body: { code: "invalid_request" },
    });
  });

  test("takes a user with any other name, in the path too", async () => {
    const named = `名前/ü?&#% ${"𝒳".repeat(191)}`;
    expect([...named]).toHaveLength(200);
    expect(await assign(named, addressOf("unicode"))).toMatchObject({ status: 201, body: { userId: named } });
    const path = `/v1/users/${encodeURIComponent(named)}/balances`;
    expect(await api.call("GET", path)).toMatchObject({ status: 200, body: { userId: named, assets: [] } });
  });
});

describe("under an Idempotency-Key", () => {
  const once = { "idempotency-key": "once-1" };

  test("the same request is answered with the same answer, however it is written", async () => {
    const address = addressOf("once");
    const first = await assign("alice", address, once);
    const again = await api.call("POST", "/v1/addresses", {
      text: `{ "address": "${checksumAddress(address)}",\n "userId": "alice" }`,
      headers: once,
    });
    expect(first.status).toBe(201);
    expect([again.status, again.text]).toEqual([first.status, first.text]);
  });

  test("another request is refused", async () => {
    const other = await assign("bob", addressOf("once other"), once);
    expect(other).toMatchObject({ status: 409, body: { code: "idempotency_conflict" } });
    expect(await api.call("GET", `/v1/addresses/${addressOf("once other")}`)).toMatchObject({ status: 404 });
  });

  test("many at once are one", async () => {
    const answers = await Promise.all(
      Array.from({ length: 20 }, () => assign("crowd", addressOf("crowd"), { "idempotency-key": "crowd" })),
    );
    expect(new Set(answers.map((answer) => `${answer.status} ${answer.text}`)).size).toBe(1);
    expect(answers[0]?.status).toBe(201);
  });

  test("a refused request does not use the key up", async () => {
    const headers = { "idempotency-key": "refused" };
    await assign("alice", addressOf("refused taken"));
    expect(await assign("bob", addressOf("refused taken"), headers)).toMatchObject({ status: 409 });
    expect(await assign("bob", addressOf("refused free"), headers)).toMatchObject({ status: 201 });
  });
});

describe("watchFrom", () => {
  const from = (name: string, watchFrom: unknown, headers: Record<string, string> = {}) =>
    api.call("POST", "/v1/addresses", {
      body: { userId: "past", address: addressOf(name), watchFrom },
      headers,
    });
  beforeAll(async () => {
    await seedChain(db.database);
    await db.database.query("UPDATE chains SET cursor_number = 50, head_number = 60");
  });

  test("is shown with how far the past was looked at", async () => {
    const rescan = { chainId: CHAIN_ID, state: "due", toBlock: 50, scannedBlocks: 0 };
    const blocks = [{ ...rescan, fromTime: null, fromBlock: 20, totalBlocks: 31 }];
    expect(await from("by block", { [CHAIN_ID]: 20 })).toMatchObject({
      status: 201,
      body: { rescans: blocks },
    });
    const shown = await api.call("GET", `/v1/addresses/${addressOf("by block")}`);
    expect(shown.body).toMatchObject({ rescans: blocks });
    const time = "2024-05-01T10:00:00.000Z";
    const times = [{ ...rescan, fromTime: time, fromBlock: null, totalBlocks: null }];
    expect((await from("by time", "2024-05-01T12:00:00+02:00")).body).toMatchObject({ rescans: times });
    expect((await assign("past", addressOf("without"))).body).toMatchObject({ rescans: [] });
  });

  test("may be earlier when the same address is registered again", async () => {
    await from("again", { [CHAIN_ID]: 30 });
    expect(await from("again", { [CHAIN_ID]: 10 })).toMatchObject({
      status: 200,
      body: { rescans: [{ fromBlock: 10, totalBlocks: 41 }] },
    });
    expect((await from("again", { [CHAIN_ID]: 40 })).body).toMatchObject({ rescans: [{ fromBlock: 10 }] });
  });

  test.each([
    ["a block in the future", { [CHAIN_ID]: 61 }, "lies in the future: chain 31337 is at block 60"],
    ["a time in the future", new Date(Date.now() + 3_600_000).toISOString(), "lies in the future"],
    ["a block before the first", { [CHAIN_ID]: -1 }, "before the first block"],
    ["a time before the first chain", "2009-01-03T18:15:05Z", "before the first EVM chain"],
    ["a chain that is not followed", { "5": 1 }, "names chain 5, which is not followed"],
    ["something that is no time", "yesterday", "must be a time like"],
    ["no chain", {}, "names no chain"],
  ])("is refused as %s, and the address stays free", async (_what, watchFrom, detail) => {
    const refused = await from("refused past", watchFrom);
    expect(refused).toMatchObject({ status: 422, body: { code: "invalid_watch_from" } });
    expect(refused.headers["content-type"]).toContain("application/problem+json");
    expect(JSON.stringify(refused.body)).toContain(detail);
    expect(await api.call("GET", `/v1/addresses/${addressOf("refused past")}`)).toMatchObject({
      status: 404,
    });
  });

  test.each([
    ["a number", 20],
    ["a list", [20]],
    ["half a block", { [CHAIN_ID]: "20" }],
  ])("is refused as %s", async (_what, watchFrom) => {
    const refused = await from("refused past", watchFrom);
    expect(refused.status).toBeGreaterThanOrEqual(400);
    expect(refused.status).toBeLessThan(500);
  });

  test("is part of what an Idempotency-Key stands for", async () => {
    const once = { "idempotency-key": "watch-from" };
    expect(await from("once past", { [CHAIN_ID]: 20 }, once)).toMatchObject({ status: 201 });
    expect(await from("once past", { [CHAIN_ID]: 20 }, once)).toMatchObject({ status: 201 });
    expect(await from("once past", { [CHAIN_ID]: 10 }, once)).toMatchObject({
      status: 409,
      body: { code: "idempotency_conflict" },
    });
  });
});
