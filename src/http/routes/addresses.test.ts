import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { checksumAddress } from "../../core/hex.ts";
import { createTestApi, type TestApi } from "../../testing/api.ts";
import { createTestDatabase, type TestDatabase } from "../../testing/database.ts";
import { addressOf } from "../../testing/factory.ts";

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

  test("needs an address, as nothing gives the next one", async () => {
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
