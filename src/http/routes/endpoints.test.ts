import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createTestApi, type TestApi } from "../../testing/api.ts";
import { createTestDatabase, type TestDatabase } from "../../testing/database.ts";
import { pageOf } from "../answers.ts";
import { type EndpointBody, endpointShape, newEndpointShape } from "../callback-answers.ts";

let db: TestDatabase;
let api: TestApi;
let wakes = 0;
beforeAll(async () => {
  db = await createTestDatabase();
  api = await createTestApi(db, {
    wakeDeliverer: async () => {
      wakes += 1;
    },
  });
});
afterAll(() => db.drop());

const create = async (url = "https://shop.example/callbacks"): Promise<EndpointBody & { secret: string }> => {
  const answer = await api.call("POST", "/v1/endpoints", { body: { url } });
  const { secret, ...endpoint } = newEndpointShape.parse(answer.body);
  return { ...endpoint, secret: secret ?? "" };
};

describe("an endpoint", () => {
  test("is made with a secret that is shown once", async () => {
    const { secret, ...endpoint } = await create();
    expect(Buffer.from(secret.replace(/^whsec_/, ""), "base64")).toHaveLength(32);
    expect(endpoint).toMatchObject({
      url: "https://shop.example/callbacks",
      status: "enabled",
      disabledReason: null,
    });
    expect(endpoint.events).toContain("deposit.credited");
    expect(endpoint.events).not.toContain("deposit.ignored");
    expect(endpoint.events).not.toContain("deposit.seen");

    const shown = await api.call("GET", `/v1/endpoints/${endpoint.id}`);
    expect(endpointShape.parse(shown.body)).toEqual(endpoint);
  });

  test("is changed by what is named, and wakes the deliverer when it is enabled", async () => {
    const { id } = await create();
    const path = `/v1/endpoints/${id}`;
    expect(await api.call("PATCH", path, { body: { status: "disabled" } })).toMatchObject({
      status: 200,
      body: { status: "disabled", disabledReason: "by_merchant" },
    });
    const before = wakes;
    const body = { status: "enabled", events: ["deposit.credited"], url: "https://shop.example/new" };
    expect(await api.call("PATCH", path, { body })).toMatchObject({ status: 200, body });
    expect(wakes).toBe(before + 1);
  });

  test("is gone once it is deleted", async () => {
    const { id } = await create();
    expect(await api.call("DELETE", `/v1/endpoints/${id}`)).toMatchObject({ status: 204, text: "" });
    for (const method of ["GET", "DELETE"] as const) {
      expect(await api.call(method, `/v1/endpoints/${id}`)).toMatchObject({
        status: 404,
        body: { code: "not_found" },
      });
    }
  });

  test("is nobody else's", async () => {
    const { id } = await create();
    const { key } = await api.addMerchant("Stranger");
    for (const method of ["GET", "DELETE", "PATCH"] as const) {
      const call = { key, ...(method === "PATCH" ? { body: { status: "disabled" } } : {}) };
      expect(await api.call(method, `/v1/endpoints/${id}`, call)).toMatchObject({ status: 404 });
    }
    expect((await api.call("GET", "/v1/endpoints", { key })).body).toEqual({ items: [], nextCursor: null });
  });

  test.each(["http://shop.example/", "https://127.0.0.1/", "https://user:pw@shop.example/", "nonsense"])(
    "G7: cannot be at %s",
    async (url) => {
      expect(await api.call("POST", "/v1/endpoints", { body: { url } })).toMatchObject({
        status: 422,
        body: { code: "invalid_url" },
      });
    },
  );

  test.each([
    { url: "https://a.example", events: ["deposit.lost"] },
    { url: "https://a.example", events: [] },
    {},
  ])("cannot be %j", async (body) => {
    expect(await api.call("POST", "/v1/endpoints", { body })).toMatchObject({
      status: 400,
      body: { code: "invalid_request" },
    });
  });
});

describe("an endpoint's key", () => {
  test("is a public one where v1a is asked for, and no secret is shown", async () => {
    const body = { url: "https://shop.example/", signature: "v1a" };
    const made = newEndpointShape.parse((await api.call("POST", "/v1/endpoints", { body })).body);
    expect(made).toMatchObject({ signature: "v1a", secret: null });
    expect(Buffer.from(made.publicKey?.replace(/^whpk_/, "") ?? "", "base64")).toHaveLength(32);
    const { body: shown } = await api.call("GET", `/v1/endpoints/${made.id}`);
    expect(endpointShape.parse(shown).publicKey).toBe(made.publicKey);
  });

  test("G6: is rotated for a day by who sends no body", async () => {
    const { id, secret } = await create();
    const answer = await api.call("POST", `/v1/endpoints/${id}/rotate-secret`);
    const rotated = newEndpointShape.parse(answer.body);
    expect(rotated.secret).not.toBe(secret);
    expect(new Date(rotated.previousKeyUntil ?? 0).getTime()).toBeGreaterThan(Date.now() + 23 * 3_600_000);
  });

  test("G6: is rotated, for a day beside the one before it or at once, to another scheme too", async () => {
    const { id, secret } = await create();
    const rotate = async (body: object) =>
      newEndpointShape.parse((await api.call("POST", `/v1/endpoints/${id}/rotate-secret`, { body })).body);
    const first = await rotate({});
    expect(first.secret).not.toBe(secret);
    const inHours = (new Date(first.previousKeyUntil ?? 0).getTime() - Date.now()) / 3_600_000;
    expect(inHours).toBeGreaterThan(23.9);
    const second = await rotate({ overlapSeconds: 0, signature: "v1a" });
    expect(second).toMatchObject({ previousKeyUntil: null, signature: "v1a", secret: null });
    expect(
      await api.call("POST", `/v1/endpoints/${id}/rotate-secret`, { body: { overlapSeconds: -1 } }),
    ).toMatchObject({ status: 400 });
    const { key } = await api.addMerchant("Thief");
    expect(await api.call("POST", `/v1/endpoints/${id}/rotate-secret`, { key, body: {} })).toMatchObject({
      status: 404,
    });
  });
});

describe("an endpoint's schedule", () => {
  test("is its own where it asks for one, and the daemon's again", async () => {
    const body = { url: "https://shop.example/", schedule: ["0s", "90s", "2h"] };
    const made = newEndpointShape.parse((await api.call("POST", "/v1/endpoints", { body })).body);
    expect(made.schedule).toEqual(["0s", "90s", "2h"]);
    const path = `/v1/endpoints/${made.id}`;
    expect(await api.call("PATCH", path, { body: { schedule: ["5m"] } })).toMatchObject({
      body: { schedule: ["5m"] },
    });
    expect(
      await db.database.query("SELECT schedule_ms, first_delay_ms FROM endpoints WHERE id = $1", [made.id]),
    ).toEqual([{ schedule_ms: [300_000], first_delay_ms: 300_000 }]);
    expect(await api.call("PATCH", path, { body: { schedule: null } })).toMatchObject({
      body: { schedule: null },
    });
  });

  test.each([[], ["soon"], ["8d"], "5s"])("cannot be %j", async (schedule) => {
    const answer = await api.call("POST", "/v1/endpoints", { body: { url: "https://a.example", schedule } });
    expect(answer).toMatchObject({ status: 400, body: { code: "invalid_request" } });
  });

  test("G5: begins well again when it is enabled, or moved to another URL", async () => {
    const { id } = await create();
    const path = `/v1/endpoints/${id}`;
    for (const body of [{ status: "enabled" }, { url: "https://new.example/" }]) {
      await db.database.query(
        "UPDATE endpoints SET failing_since = now(), last_failed_at = now(), failures = 9, paused_until = now() + interval '1 hour' WHERE id = $1",
        [id],
      );
      expect(await api.call("PATCH", path, { body })).toMatchObject({
        body: { failingSince: null, pausedUntil: null },
      });
    }
  });
});

describe("an endpoint's headers", () => {
  test("are kept sealed and shown by name alone, replaced and taken away", async () => {
    const body = {
      url: "https://shop.example/",
      headers: { Authorization: "Bearer tenant-token", "X-Tenant": "a" },
    };
    const made = newEndpointShape.parse((await api.call("POST", "/v1/endpoints", { body })).body);
    expect(made.headers).toEqual(["authorization", "x-tenant"]);
    const [row] = await db.database.query<{ text: string }>(
      "SELECT string_agg(e::text, ' ') AS text FROM endpoints e",
    );
    expect(row?.text).not.toContain("tenant-token");
    expect(row?.text).not.toContain(Buffer.from("tenant-token").toString("hex"));
    const path = `/v1/endpoints/${made.id}`;
    expect(await api.call("PATCH", path, { body: { headers: { "x-b": "1" } } })).toMatchObject({
      body: { headers: ["x-b"] },
    });
    expect(await api.call("PATCH", path, { body: { headers: {} } })).toMatchObject({ body: { headers: [] } });
  });

  test.each([
    { host: "internal" },
    { "Content-Length": "0" },
    { "Webhook-Id": "evt_other" },
    { "webhook-signature": "v1,x" },
    { "proxy-authorization": "x" },
    { "transfer-encoding": "chunked" },
    { "x a": "1" },
    { "x-a": "a\r\nhost: b" },
    { "x-a": "" },
    { "x-a": "é" },
    { "x-a": "1", "X-A": "2" },
    Object.fromEntries(Array.from({ length: 21 }, (_, n) => [`x-${n}`, "1"])),
  ])("cannot be %j", async (headers) => {
    const answer = await api.call("POST", "/v1/endpoints", { body: { url: "https://a.example", headers } });
    expect(answer).toMatchObject({ status: 400, body: { code: "invalid_request" } });
  });
});

describe("the list of endpoints", () => {
  test("comes in pages that hold each once", async () => {
    const { key } = await api.addMerchant("Pages");
    for (const name of ["a", "b", "c", "d", "e"]) {
      await api.call("POST", "/v1/endpoints", { key, body: { url: `https://${name}.example/` } });
    }
    const urls: string[] = [];
    let query = "limit=2";
    for (;;) {
      const answer = await api.call("GET", `/v1/endpoints?${query}`, { key });
      const page = pageOf(endpointShape, "EndpointPage").parse(answer.body);
      urls.push(...page.items.map((endpoint) => endpoint.url));
      if (page.nextCursor === null) break;
      query = `limit=2&cursor=${page.nextCursor}`;
    }
    expect(urls).toEqual(["a", "b", "c", "d", "e"].map((name) => `https://${name}.example/`));
  });
});

describe("a merchant", () => {
  test("G4: has a thousand endpoints at most, so that its share of the attempts has an end", async () => {
    const { id, key } = await api.addMerchant("Many");
    await db.database.query(
      `INSERT INTO endpoints (id, merchant_id, url, events, secret)
       SELECT 'end_many' || n, $1, 'https://many.example/', '{endpoint.test}', '' FROM generate_series(1, 999) n`,
      [id],
    );
    const make = () => api.call("POST", "/v1/endpoints", { key, body: { url: "https://many.example/" } });
    expect((await make()).status).toBe(201);
    expect(await make()).toMatchObject({ status: 409, body: { code: "too_many_endpoints" } });
    await api.call("DELETE", "/v1/endpoints/end_many1", { key });
    expect((await make()).status).toBe(201);
  });
});

describe("under an Idempotency-Key", () => {
  test("one endpoint is made, and its secret is shown again but not kept in clear", async () => {
    const { key } = await api.addMerchant("Once");
    const call = {
      key,
      body: { url: "https://once.example/" },
      headers: { "idempotency-key": "endpoint-1" },
    };
    const first = await api.call("POST", "/v1/endpoints", call);
    const again = await api.call("POST", "/v1/endpoints", call);
    expect([again.status, again.text]).toEqual([201, first.text]);
    const list = await api.call("GET", "/v1/endpoints", { key });
    expect(pageOf(endpointShape, "EndpointPage").parse(list.body).items).toHaveLength(1);

    const secret = newEndpointShape.parse(first.body).secret ?? "";
    const [row] = await db.database.query<{ text: string }>(
      "SELECT string_agg(i::text, ' ') AS text FROM idempotency_keys i",
    );
    expect(row?.text).not.toContain(secret);
    expect(row?.text).not.toContain(secret.slice(6));
    expect(row?.text).not.toContain(Buffer.from(secret).toString("base64").slice(4, 20));
  });
});
