import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { TemporaryError } from "../core/errors.ts";
import { revokeApiKey } from "../merchants/api-key-store.ts";
import { type ApiAnswer, createTestApi, READY, type TestApi } from "../testing/api.ts";
import { createTestDatabase, type TestDatabase } from "../testing/database.ts";
import { problemShape } from "./problem.ts";
import { createHttpServer } from "./server.ts";

let db: TestDatabase;
let api: TestApi;
beforeAll(async () => {
  db = await createTestDatabase();
  api = await createTestApi(db);
});
afterAll(() => db.drop());

function expectProblem(answer: ApiAnswer, status: number, code: string): void {
  expect(answer.headers["content-type"]).toContain("application/problem+json");
  expect(problemShape.parse(answer.body)).toMatchObject({ status, code, type: `urn:depositd:error:${code}` });
  expect(answer.status).toBe(status);
  expect(answer.text).not.toContain(".ts:");
}

describe("who may ask", () => {
  test.each([
    ["no key", null, {}],
    ["an unknown key", `dpk_${"0".repeat(16)}_${"A".repeat(43)}`, {}],
    ["another scheme", null, { authorization: "Basic dXNlcjpwYXNz" }],
  ])("is not somebody with %s", async (_what, key, headers) => {
    const answer = await api.call("GET", "/v1/deposits", { key, headers });
    expectProblem(answer, 401, "unauthorized");
    expect(answer.headers["www-authenticate"]).toBe("Bearer");
  });

  test("is not somebody whose key was revoked, from the next request on", async () => {
    const { key } = await api.addMerchant("Revoked");
    expect((await api.call("GET", "/v1/deposits", { key })).status).toBe(200);
    await revokeApiKey(db.database, `key_${key.slice(4, 20)}`);
    expectProblem(await api.call("GET", "/v1/deposits", { key }), 401, "unauthorized");
  });

  test("is asked before the body is read", async () => {
    expectProblem(await api.call("POST", "/v1/addresses", { key: null, text: "{" }), 401, "unauthorized");
  });
});

describe("a request that cannot be read", () => {
  test.each([
    ["malformed JSON", "/v1/addresses", { text: "{" }, 400, "invalid_request"],
    ["no body", "/v1/addresses", {}, 400, "invalid_request"],
    ["an empty body", "/v1/addresses", { text: "" }, 400, "invalid_request"],
    [
      "a body of another type",
      "/v1/addresses",
      { text: "a=b", headers: { "content-type": "text/plain" } },
      415,
      "unsupported_media_type",
    ],
    [
      "a body above 64 kB",
      "/v1/addresses",
      { body: { userId: "x".repeat(70_000) } },
      413,
      "payload_too_large",
    ],
    [
      "a body that would change prototypes",
      "/v1/addresses",
      { text: '{"__proto__":{"a":1}}' },
      400,
      "invalid_request",
    ],
    ["an unknown key", "/v1/addresses", { body: { userId: "a", colour: "red" } }, 400, "invalid_request"],
    [
      "a bad Idempotency-Key",
      "/v1/addresses",
      { body: { userId: "a" }, headers: { "idempotency-key": "ä" } },
      400,
      "invalid_request",
    ],
    ["an unknown path", "/v2/addresses", {}, 404, "not_found"],
    ["a path that is no path", "/v1/%zz", {}, 400, "invalid_request"],
    ["an unknown method", "/v1/deposits", {}, 404, "not_found"],
  ])("is refused for %s", async (_what, path, call, status, code) => {
    expectProblem(await api.call("POST", path, call), status, code);
  });

  test("is told all its faults at once, each with its place", async () => {
    const answer = await api.call("GET", "/v1/deposits?limit=0&status=lost&colour=red&txHash=0x12");
    expectProblem(answer, 400, "invalid_request");
    expect(
      problemShape
        .parse(answer.body)
        .errors?.map((fault) => fault.path)
        .sort(),
    ).toEqual(["query.colour", "query.limit", "query.status", "query.txHash"]);
  });

  test("has the code of what is wrong with its only wrong value", async () => {
    expectProblem(await api.call("GET", "/v1/deposits?txHash=0x12"), 422, "invalid_hash");
    expectProblem(await api.call("GET", "/v1/deposits?address=0x12"), 422, "invalid_address");
    expectProblem(await api.call("GET", "/v1/deposits?cursor=nonsense"), 400, "invalid_cursor");
  });
});

describe("a failure of ours", () => {
  test("is a 503 that may be tried again, when the database is away", async () => {
    const away = await createTestApiWithFailure(
      new TemporaryError("database_unreachable", "connect ECONNREFUSED 10.0.0.1"),
    );
    const answer = await away.call("GET", "/v1/deposits");
    expectProblem(answer, 503, "database_unreachable");
    expect(answer.headers["retry-after"]).toBe("1");
    expect(answer.text).not.toContain("10.0.0.1");
    expect(
      away.log.some(([level, sentence]) => level === "warn" && sentence === "Could not answer a request"),
    ).toBe(true);
  });

  test("is a 500 that says nothing of the inside, but is in the log", async () => {
    const broken = await createTestApiWithFailure(new Error("secret detail"));
    const answer = await broken.call("GET", "/v1/deposits");
    expectProblem(answer, 500, "internal");
    expect(answer.text).not.toContain("secret detail");
    expect(broken.log.find(([level]) => level === "error")?.[2]).toMatchObject({
      request_id: answer.headers["x-request-id"],
    });
  });

  async function createTestApiWithFailure(error: Error): Promise<TestApi> {
    const own = await createTestDatabase();
    const other = await createTestApi(own, {
      database: { ...db.database, query: () => Promise.reject(error) },
    });
    await own.drop();
    return other;
  }
});

describe("what is logged of a request", () => {
  test("is one line with the route's pattern, and no path, body or key", async () => {
    const before = api.log.length;
    const answer = await api.call("POST", "/v1/addresses", { body: { userId: "alice-in-the-body" } });
    const lines = api.log.slice(before);
    expect(lines).toEqual([
      [
        "info",
        "Answered request",
        {
          method: "POST",
          route: "/v1/addresses",
          status: 400,
          duration_ms: expect.any(Number),
          merchant_id: api.merchantId,
          request_id: answer.headers["x-request-id"],
        },
      ],
    ]);
    await api.call("GET", "/v1/users/alice-in-the-path/balances");
    const text = JSON.stringify(api.log);
    expect(text).not.toMatch(/alice-in-the-(body|path)/);
    expect(text).not.toContain(api.key);
  });
});

describe("the pages for machines", () => {
  test("need no key", async () => {
    expect(await api.call("GET", "/healthz", { key: null })).toMatchObject({
      status: 200,
      body: { status: "ok" },
    });
    expect(await api.call("GET", "/readyz", { key: null })).toMatchObject({ status: 200, body: READY });
    const metrics = await api.call("GET", "/metrics", { key: null });
    expect(metrics.text).toContain(
      'depositd_http_request_seconds_count{method="GET",route="/healthz",status="200"} 1',
    );
  });

  test("show each chain as the database has it, and no chain while the database is away", async () => {
    await db.database.query(
      `INSERT INTO chains (chain_id, name, cursor_number, cursor_hash, head_number, state, state_reason)
       VALUES (1, 'ethereum', 10, $1, 13, 'halted', 'a reorg')`,
      [Buffer.alloc(32)],
    );
    const page = (await api.call("GET", "/metrics", { key: null })).text;
    expect(page).toContain('depositd_chain_lag_blocks{chain_id="1"} 3');
    expect(page).toContain('depositd_chain_halted{chain_id="1"} 1');
    expect(page).toContain("depositd_deliveries_due 0");

    const away = await createSecondApi({ metrics: api.parts.metrics });
    const without = await away.call("GET", "/metrics", { key: null });
    expect(without.status).toBe(200);
    expect(without.text).not.toMatch(/^depositd_(chain_lag_blocks\{|deliveries_due )/m);
  });

  test("say 503 when a part is not ready", async () => {
    const database = { ready: false, problem: "no answer" };
    const server = (await createSecondApi({ readiness: async () => ({ ...READY, ready: false, database }) }))
      .call;
    expect(await server("GET", "/readyz", { key: null })).toMatchObject({
      status: 503,
      body: { ready: false, database },
    });
  });

  test("say 503 when the parts do not answer at all", async () => {
    const api = await createSecondApi({
      readiness: () => new Promise(() => undefined),
      clock: { now: () => 0, monotonic: () => 0, sleep: async () => undefined },
    });
    expect(await api.call("GET", "/readyz", { key: null })).toMatchObject({
      status: 503,
      body: { ready: false },
    });
  });

  async function createSecondApi(given: Parameters<typeof createTestApi>[1]): Promise<TestApi> {
    const own = await createTestDatabase();
    const second = await createTestApi(own, given);
    await own.drop();
    return second;
  }
});

describe("a real socket", () => {
  test("answers until it is closed, and hangs up on what is not HTTP", async () => {
    const server = createHttpServer(api.parts);
    const { host, port } = await server.listen();
    expect(port).toBeGreaterThan(0);
    const answer = await fetch(`http://${host}:${port}/v1/deposits`, {
      headers: { authorization: `Bearer ${api.key}` },
    });
    expect(await answer.json()).toEqual({ items: [], nextCursor: null });

    const taken = createHttpServer({ ...api.parts, http: { ...api.parts.http, port } });
    await expect(taken.listen()).rejects.toMatchObject({ code: "listen_failed" });
    await taken.close();

    await Promise.all([server.close(), server.close()]);
    await expect(fetch(`http://${host}:${port}/healthz`)).rejects.toThrow();
  });
});
