import { Readable } from "node:stream";
import { request } from "undici";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createTestApi, type TestApi } from "../../testing/api.ts";
import { createTestDatabase, type TestDatabase } from "../../testing/database.ts";
import { addressOf } from "../../testing/factory.ts";
import { importedShape } from "./import-addresses.ts";

let db: TestDatabase;
let api: TestApi;
let url: string;
beforeAll(async () => {
  db = await createTestDatabase();
  api = await createTestApi(db);
  url = await api.server.listen({ host: "127.0.0.1", port: 0 });
});
afterAll(async () => {
  await api.server.close();
  await db.drop();
});

const lineOf = (name: string, userId = name) => JSON.stringify({ address: addressOf(name), userId });
async function send(lines: Iterable<string>, headers: Record<string, string> = {}) {
  async function* chunks() {
    for (const line of lines) yield `${line}\n`;
  }
  const { statusCode, body } = await request(`${url}/v1/addresses/import`, {
    method: "POST",
    headers: {
      authorization: `Bearer ${api.key}`,
      "content-type": "application/x-ndjson",
      ...headers,
    },
    body: Readable.from(chunks()),
  });
  return { status: statusCode, body: await body.json() };
}

describe("importing addresses over HTTP", () => {
  test("registers a stream that is larger than any other body may be, and tells what it could not take", async () => {
    const lines = Array.from({ length: 5_000 }, (_, n) => lineOf(`http ${n}`));
    const { status, body } = await send([...lines, "{}", lineOf("http 7", "somebody else")]);
    expect(status).toBe(200);
    expect(importedShape.parse(body)).toMatchObject({
      newCount: 5_000,
      knownCount: 0,
      faultCount: 2,
      faults: [
        { line: 5_001, code: "invalid_request" },
        { line: 5_002, code: "address_taken" },
      ],
    });
    expect((await send(lines)).body).toMatchObject({ newCount: 0, knownCount: 5_000 });
    expect(await api.call("GET", `/v1/addresses/${addressOf("http 4999")}`)).toMatchObject({
      status: 200,
      body: { userId: "http 4999" },
    });
  });

  test("needs a key, and NDJSON", async () => {
    expect(await send([lineOf("none")], { authorization: "Bearer wrong" })).toMatchObject({ status: 401 });
    expect(await send([lineOf("none")], { "content-type": "application/json" })).toMatchObject({
      status: 415,
      body: { code: "unsupported_media_type" },
    });
    expect(await api.call("GET", `/v1/addresses/${addressOf("none")}`)).toMatchObject({ status: 404 });
  });

  test("leaves the other routes with JSON alone", async () => {
    const answer = await api.call("POST", "/v1/addresses", {
      text: lineOf("other"),
      headers: { "content-type": "application/x-ndjson" },
    });
    expect(answer.status).toBe(415);
  });
});
