import { Webhook } from "standardwebhooks";
import { afterAll, beforeAll, expect, it } from "vitest";
import { appendEndpointEvent } from "../../outbox/endpoint-event-store.ts";
import { createTestApi, type TestApi } from "../../testing/api.ts";
import { createTestDatabase, type TestDatabase } from "../../testing/database.ts";
import { type Sink, startSink } from "../../testing/sink.ts";
import { listen } from "./listen.ts";

let db: TestDatabase;
let api: TestApi;
let url: string;
let local: Sink;
beforeAll(async () => {
  db = await createTestDatabase();
  api = await createTestApi(db);
  url = await api.server.listen({ host: "127.0.0.1", port: 0 });
  local = await startSink();
});
afterAll(async () => {
  await api.server.close();
  await local.close();
  await db.drop();
});

const happen = (n: number) =>
  appendEndpointEvent(db.database, {
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
  await local.received(2);
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

it("says what is wrong: the key, the types, the URL", async () => {
  const signal = new AbortController().signal;
  const given = { url: local.url, api: url, key: "dk_wrong" };
  const say = () => undefined;
  await expect(listen(given, say, signal)).rejects.toMatchObject({ code: "unauthorized" });
  await expect(listen({ ...given, events: "deposit.lost" }, say, signal)).rejects.toMatchObject({
    code: "invalid_request",
  });
  await expect(listen({ ...given, url: "nonsense" }, say, signal)).rejects.toMatchObject({
    code: "invalid_url",
  });
});
