import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { Webhook } from "standardwebhooks";
import { afterAll, beforeAll, expect, it } from "vitest";
import type { Sql } from "../../db/database.ts";
import { appendEndpointEvent } from "../../outbox/endpoint-event-store.ts";
import { systemClock } from "../../runtime/clock.ts";
import { createTestApi, type TestApi } from "../../testing/api.ts";
import { createTestDatabase, type TestDatabase } from "../../testing/database.ts";
import { type Sink, startSink } from "../../testing/sink.ts";
import { waitFor } from "../../testing/wait-for.ts";
import { listen } from "./listen.ts";

let db: TestDatabase;
let api: TestApi;
let url: string;
let local: Sink;
let looks = 0;
beforeAll(async () => {
  db = await createTestDatabase();
  api = await createTestApi(db);
  api.server.addHook("onResponse", async (request) => {
    if (request.url.startsWith("/v1/events")) looks += 1;
  });
  url = await api.server.listen({ host: "127.0.0.1", port: 0 });
  local = await startSink();
});
afterAll(async () => {
  await api.server.close();
  await local.close();
  await db.drop();
});

const QUICK = { pollMs: 20, scheduleMs: [0] };

/** Two looks at the feed: what happens from now on is after its end. */
async function feedIsRead(): Promise<void> {
  const begun = looks;
  await waitFor(() => looks >= begun + 2, { what: "a look at the feed" });
}

async function said(lines: readonly string[], count: number): Promise<void> {
  await waitFor(() => lines.length >= count, { what: `${count} lines` });
}

/** In front of the API, at a path: open, or away. */
async function startGate() {
  const gate = { isOpen: true, url: "", close: async () => undefined as unknown };
  const server = createServer((request, response) => {
    if (!gate.isOpen) return void response.writeHead(503).end();
    const headers = { authorization: request.headers.authorization ?? "" };
    void fetch(`${url}${request.url?.replace(/^\/depositd/, "")}`, { headers }).then(async (answer) =>
      response.writeHead(answer.status).end(await answer.text()),
    );
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  gate.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/depositd`;
  gate.close = async () => {
    server.closeAllConnections();
    server.close();
  };
  return gate;
}

const happen = (n: number, sql: Sql = db.database) =>
  appendEndpointEvent(sql, {
    merchantId: api.merchantId,
    type: "endpoint.test",
    data: { n },
    at: new Date("2026-11-22T14:00:00Z"),
    to: { only: "end_none" },
  });

it("forwards what an endpoint would get: the same ids and bytes, in order, signed with the secret it prints", async () => {
  await happen(0);
  const lines: string[] = [];
  const stop = new AbortController();
  const given = { url: `${local.url}/hook`, api: url, key: api.key, fromStart: true };
  const listening = listen(given, (line) => lines.push(line), stop.signal);
  await local.received(1);
  await happen(1);
  await said(lines, 4);
  stop.abort();
  expect(await listening).toBe(2);

  const [, secret = ""] = /^Secret: (whsec_\S+)$/.exec(lines[0] ?? "") ?? [];
  const events = await db.database.query<{ id: string; body: string }>(
    "SELECT id, body FROM events ORDER BY xid, id",
  );
  expect(local.requests.map(({ headers, body }) => [headers["webhook-id"], body.toString()])).toEqual(
    events.map(({ id, body }) => [`evt_${id.replaceAll("-", "")}`, body]),
  );
  for (const { headers, body } of local.requests)
    new Webhook(secret).verify(body.toString(), headers as Record<string, string>);
  expect(lines.at(-1)).toMatch(/^evt_\w+ {2}endpoint\.test {2}204 {2}\d+ ms$/);
});

it("tries again what was not taken, and goes on with the rest meanwhile", async () => {
  const given = { url: `${local.url}/again`, api: url, key: api.key };
  const lines: string[] = [];
  const stop = new AbortController();
  const begun = local.requests.length;
  local.answer((_request, count) => ({ status: count === begun ? 500 : 204 }));
  const listening = listen(given, (line) => lines.push(line), stop.signal, {
    ...QUICK,
    scheduleMs: [0, 2_000],
  });
  await feedIsRead();
  await db.database.transaction(async (tx) => {
    await happen(2, tx);
    await happen(3, tx);
  });
  await said(lines, 5);
  stop.abort();
  expect(await listening).toBe(2);
  const [first, second, again] = local.requests.slice(begun);
  expect(JSON.parse(second?.body.toString() ?? "")).toMatchObject({ data: { n: 3 } });
  expect(again?.headers["webhook-id"]).toBe(first?.headers["webhook-id"]);
  expect(again?.body).toEqual(first?.body);
  expect(lines.at(-3)).toMatch(/^evt_\w+ {2}endpoint\.test {2}500 {2}\d+ ms, again in [23] s$/);
});

it("gives an event up after its last attempt, and says what an endpoint would be disabled by", async () => {
  const given = { url: `${local.url}/never`, api: url, key: api.key };
  const lines: string[] = [];
  const stop = new AbortController();
  const begun = local.requests.length;
  local.answer((_request, count) => ({ status: count < begun + 2 ? 500 : 410 }));
  const listening = listen(given, (line) => lines.push(line), stop.signal, { ...QUICK, scheduleMs: [0, 0] });
  await feedIsRead();
  await happen(4);
  await local.received(begun + 2);
  await happen(5);
  await waitFor(() => lines.some((line) => line.includes("410")), { what: "the 410" });
  stop.abort();
  expect(await listening).toBe(0);
  expect(lines.slice(3).map((line) => line.replace(/^.* ms/, ""))).toEqual([
    ", given up",
    ", and would disable an endpoint",
  ]);
  local.answer({});
});

it("waits for an API that is away, once it has answered, and leaves nothing out", async () => {
  const gate = await startGate();
  const given = { url: `${local.url}/away`, api: gate.url, key: api.key };
  const lines: string[] = [];
  const stop = new AbortController();
  const listening = listen(given, (line) => lines.push(line), stop.signal, QUICK);
  await feedIsRead();
  gate.isOpen = false;
  await waitFor(() => lines.at(-1)?.endsWith("; waiting for it"), { what: "word of the API" });
  await happen(6);
  gate.isOpen = true;
  await said(lines, 5);
  stop.abort();
  expect(await listening).toBe(1);
  expect(lines.slice(2)).toEqual([
    expect.stringMatching(
      /^The API at 127\.0\.0\.1:\d+ answered 503, which is no page of events; waiting for it$/,
    ),
    "The API answers again",
    expect.stringContaining("endpoint.test"),
  ]);
  await gate.close();
});

it("does not wait for an API that never answered", async () => {
  const gate = await startGate();
  gate.isOpen = false;
  const given = { url: local.url, api: gate.url, key: api.key };
  await expect(listen(given, () => undefined, new AbortController().signal)).rejects.toMatchObject({
    retryable: true,
  });
  await gate.close();
});

it("stops at once, whatever the developer's server is doing", async () => {
  const stop = new AbortController();
  const begun = local.requests.length;
  local.answer({ trouble: "hang" });
  const listening = listen({ url: local.url, api: url, key: api.key }, () => undefined, stop.signal, QUICK);
  await feedIsRead();
  await happen(7);
  await local.received(begun + 1);
  const before = systemClock.monotonic();
  stop.abort();
  expect(await listening).toBe(0);
  expect(systemClock.monotonic() - before).toBeLessThan(10_000);
  local.answer({});
});

it("says what is wrong: the key, the types, the URL", async () => {
  const signal = new AbortController().signal;
  const given = { url: local.url, api: url, key: "dk_wrong" };
  const say = () => undefined;
  await expect(listen(given, say, signal)).rejects.toMatchObject({ code: "unauthorized" });
  await expect(listen({ ...given, events: "deposit.lost" }, say, signal)).rejects.toMatchObject({
    code: "invalid_request",
  });
  for (const wrong of ["nonsense", "localhost:3000/callbacks", "ftp://localhost/"])
    for (const key of ["url", "api"])
      await expect(listen({ ...given, [key]: wrong }, say, signal)).rejects.toMatchObject({
        code: "invalid_url",
      });
  for (const secret of ["nonsense", "whsec_", "whsec_c2hvcnQ="])
    await expect(listen({ ...given, secret }, say, signal)).rejects.toMatchObject({
      code: "invalid_request",
    });
  await expect(listen({ ...given, key: "two\nlines" }, say, signal)).rejects.toMatchObject({
    code: "unauthorized",
  });
});
