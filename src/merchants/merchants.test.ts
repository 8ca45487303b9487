import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { systemRandom } from "../runtime/random.ts";
import { createTestDatabase, type TestDatabase } from "../testing/database.ts";
import { authenticateApiKey, createApiKey, revokeApiKey } from "./api-key-store.ts";
import { createMerchant, findMerchant, getMerchant, listMerchants } from "./merchant-store.ts";

let db: TestDatabase;
beforeAll(async () => {
  db = await createTestDatabase();
});
afterAll(() => db.drop());

const create = (name: string, operator = false) =>
  createMerchant(db.database, systemRandom, { name, operator });

describe("a merchant", () => {
  test("is found by its id and by its name", async () => {
    const { merchant } = await create("Shop");
    expect(merchant.id).toMatch(/^mer_[0-9a-f]{20}$/);
    expect(await getMerchant(db.database, merchant.id)).toEqual(merchant);
    expect(await getMerchant(db.database, "Shop")).toEqual(merchant);
    expect(await listMerchants(db.database)).toContainEqual(merchant);
    expect(await findMerchant(db.database, "Nobody")).toBeUndefined();
    await expect(getMerchant(db.database, "mer_none")).rejects.toMatchObject({ code: "not_found" });
  });

  test("has a name of its own", async () => {
    await create("Twice");
    await expect(create("Twice")).rejects.toMatchObject({ code: "name_taken" });
    await expect(create(" Twice ")).rejects.toMatchObject({ code: "name_taken" });
  });

  test.each(["", "  ", "a\nb", "mer_shop", "x".repeat(201)])("cannot be named %j", async (name) => {
    await expect(create(name)).rejects.toMatchObject({ code: "invalid_request" });
  });
});

describe("an API key", () => {
  test("says whose it is", async () => {
    const { merchant, apiKey } = await create("Keys");
    const second = await createApiKey(db.database, systemRandom, { merchantId: merchant.id, operator: true });
    expect(await authenticateApiKey(db.database, apiKey.key)).toEqual({
      keyId: apiKey.id,
      merchantId: merchant.id,
      operator: false,
      operatorName: null,
    });
    expect(await authenticateApiKey(db.database, second.key)).toMatchObject({
      keyId: second.id,
      operator: true,
      operatorName: null,
    });
  });

  test("of an operator says which person has it, and takes no name that could pass for another", async () => {
    const { merchant } = await create("Operators");
    const make = (operatorName: string, operator = true) =>
      createApiKey(db.database, systemRandom, { merchantId: merchant.id, operator, operatorName });
    const { key } = await make("ann@shop.example");
    expect(await authenticateApiKey(db.database, key)).toMatchObject({ operatorName: "ann@shop.example" });
    for (const name of ["", "Ann", " ann", "ann ", "\u0430nn", "a".repeat(65), "-ann"])
      await expect(make(name)).rejects.toMatchObject({ code: "invalid_request" });
    await expect(make("ann", false)).rejects.toMatchObject({ code: "invalid_request" });
  });

  test("opens nothing when a single letter of it differs", async () => {
    const { apiKey } = await create("Wrong key");
    const last = apiKey.key.at(-1) === "A" ? "E" : "A";
    const other = (await create("Other key")).apiKey.key;
    const mixed = `${apiKey.key.slice(0, 21)}${other.slice(21)}`;
    for (const key of [`${apiKey.key.slice(0, -1)}${last}`, mixed, `${apiKey.key} `, "dpk_", ""]) {
      expect(await authenticateApiKey(db.database, key)).toBeUndefined();
    }
  });

  test("opens nothing once it is revoked, and can be revoked again", async () => {
    const { apiKey, merchant } = await create("Revoked");
    expect(await revokeApiKey(db.database, apiKey.id)).toEqual({ id: apiKey.id, merchantId: merchant.id });
    expect(await authenticateApiKey(db.database, apiKey.key)).toBeUndefined();
    await revokeApiKey(db.database, apiKey.id);
    await expect(revokeApiKey(db.database, "key_none")).rejects.toMatchObject({ code: "not_found" });
  });

  test("is not in the database", async () => {
    const { apiKey } = await create("Secret");
    const secret = apiKey.key.slice(21);
    const [row] = await db.database.query<{ text: string }>(
      "SELECT string_agg(api_keys::text, ' ') AS text FROM api_keys",
    );
    expect(row?.text).not.toContain(secret);
    expect(row?.text).not.toContain(Buffer.from(secret, "base64url").toString("hex"));
  });
});
