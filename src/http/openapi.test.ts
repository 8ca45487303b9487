import { afterAll, beforeAll, expect, test } from "vitest";
import { EVENT_TYPES } from "../core/event.ts";
import { createTestApi, type TestApi } from "../testing/api.ts";
import { createTestDatabase, type TestDatabase } from "../testing/database.ts";

let db: TestDatabase;
let api: TestApi;
beforeAll(async () => {
  db = await createTestDatabase();
  api = await createTestApi(db);
});
afterAll(() => db.drop());

interface Description {
  openapi: string;
  paths: Record<
    string,
    Record<string, { parameters?: { name: string; in: string; required: boolean }[]; responses: object }>
  >;
  components: { schemas: Record<string, { properties: object }> };
}

async function describeApi(): Promise<Description> {
  const answer = await api.call("GET", "/openapi.json", { key: null });
  expect(answer.status).toBe(200);
  return answer.body as Description;
}

test("describes every route that answers, with its parameters", async () => {
  const { openapi, paths } = await describeApi();
  expect(openapi).toBe("3.1.0");
  const routes = Object.entries(paths).flatMap(([path, methods]) =>
    Object.keys(methods)
      .filter((key) => key !== "parameters")
      .map((method) => `${method} ${path}`),
  );
  expect(routes.sort()).toEqual([
    "delete /v1/endpoints/{id}",
    "get /healthz",
    "get /metrics",
    "get /openapi.json",
    "get /pay/{id}",
    "get /pay/{id}/state",
    "get /readyz",
    "get /schemas/{type}.json",
    "get /v1/addresses/{address}",
    "get /v1/admin/audit",
    "get /v1/admin/holds",
    "get /v1/deliveries",
    "get /v1/deliveries/{id}",
    "get /v1/deposits",
    "get /v1/deposits/{id}",
    "get /v1/endpoints",
    "get /v1/endpoints/{id}",
    "get /v1/events",
    "get /v1/orders",
    "get /v1/orders/{id}",
    "get /v1/replays/{id}",
    "get /v1/seen-payments",
    "get /v1/users/{userId}/balances",
    "patch /v1/endpoints/{id}",
    "post /v1/addresses",
    "post /v1/addresses/import",
    "post /v1/admin/holds/{depositId}/reject",
    "post /v1/admin/holds/{depositId}/release",
    "post /v1/deliveries/{id}/retry",
    "post /v1/endpoints",
    "post /v1/endpoints/{id}/replay",
    "post /v1/endpoints/{id}/rotate-secret",
    "post /v1/endpoints/{id}/test",
    "post /v1/orders",
    "post /v1/users/{userId}/debits",
  ]);
  expect(
    paths["/v1/deposits"]?.["get"]?.parameters?.map(({ name, in: place, required }) => [
      name,
      place,
      required,
    ]),
  ).toEqual([
    ["status", "query", false],
    ["userId", "query", false],
    ["txHash", "query", false],
    ["address", "query", false],
    ["orderNo", "query", false],
    ["limit", "query", false],
    ["cursor", "query", false],
  ]);
});

test("describes the callback of each event type, and serves its schema", async () => {
  const { webhooks } = (await describeApi()) as Description & { webhooks: Record<string, unknown> };
  expect(Object.keys(webhooks)).toEqual(EVENT_TYPES);
  for (const type of EVENT_TYPES) {
    const answer = await api.call("GET", `/schemas/${type}.json`, { key: null });
    expect(answer).toMatchObject({
      status: 200,
      body: { title: type, required: ["type", "timestamp", "data"] },
    });
  }
  expect(await api.call("GET", "/schemas/deposit.lost.json", { key: null })).toMatchObject({ status: 404 });
});

test("refers only to shapes that it has", async () => {
  const description = await describeApi();
  const text = JSON.stringify(description);
  const names = [...text.matchAll(/"\$ref":"#\/components\/schemas\/(\w+)"/g)].map(([, name]) => name ?? "");
  expect(Object.keys(description.components.schemas)).toEqual(expect.arrayContaining(names));
  expect(Object.keys(description.components.schemas)).toEqual(
    expect.arrayContaining([
      "Deposit",
      "DepositDetail",
      "DepositPage",
      "Endpoint",
      "NewEndpoint",
      "Balances",
      "Problem",
      "Address",
    ]),
  );
  expect(text).not.toContain("$defs");
  expect(text).not.toContain('"$schema"');
});
