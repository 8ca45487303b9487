import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { createTestApi, type TestApi } from "../../testing/api.ts";
import { endDueDeliveries } from "../../testing/callbacks.ts";
import { createTestDatabase, type TestDatabase } from "../../testing/database.ts";
import { waitFor } from "../../testing/wait-for.ts";
import { pageOf } from "../answers.ts";
import {
  deliveryDetailShape,
  deliveryShape,
  feedShape,
  newEndpointShape,
  replayShape,
  testEventShape,
} from "../callback-answers.ts";

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
beforeEach(() =>
  db.database.query(
    "TRUNCATE delivery_attempts, due_deliveries, deliveries, events, replays, endpoints, idempotency_keys",
  ),
);

const makeEndpoint = async (url = "https://shop.example/"): Promise<string> =>
  newEndpointShape.parse((await api.call("POST", "/v1/endpoints", { body: { url } })).body).id;
const sendTest = async (endpointId: string) =>
  testEventShape.parse((await api.call("POST", `/v1/endpoints/${endpointId}/test`)).body);
const list = async (query: string) =>
  pageOf(deliveryShape, "DeliveryPage").parse((await api.call("GET", `/v1/deliveries?${query}`)).body);
const end = (state: "delivered" | "failed") => endDueDeliveries(db.database, state);

/** The feed shows an event when no older transaction runs on the whole server, other test files' included. */
const feedOf = (count: number) =>
  waitFor(async () => {
    const feed = feedShape.parse((await api.call("GET", "/v1/events")).body);
    return feed.items.length === count ? feed : undefined;
  });

describe("a test event", () => {
  test("goes to its endpoint alone, whatever types that has named, and wakes the deliverer", async () => {
    await makeEndpoint("https://other.example/");
    const { body } = await api.call("POST", "/v1/endpoints", {
      body: { url: "https://shop.example/", events: ["deposit.credited"] },
    });
    const { id } = newEndpointShape.parse(body);
    const before = wakes;
    const { eventId, deliveryId } = await sendTest(id);
    expect(wakes).toBe(before + 1);
    expect((await list("")).items).toEqual([
      expect.objectContaining({
        id: deliveryId,
        eventId,
        endpointId: id,
        type: "endpoint.test",
        status: "due",
      }),
    ]);
    const feed = await feedOf(1);
    expect(feed.items).toEqual([
      expect.objectContaining({ id: eventId, type: "endpoint.test", data: { endpointId: id } }),
    ]);
  });

  test("is sent once under an Idempotency-Key, and wakes the deliverer after its commit", async () => {
    const id = await makeEndpoint();
    const call = { headers: { "idempotency-key": "test-1" } };
    const before = wakes;
    const first = await api.call("POST", `/v1/endpoints/${id}/test`, call);
    const again = await api.call("POST", `/v1/endpoints/${id}/test`, call);
    expect([first.status, again.text]).toEqual([202, first.text]);
    const { items } = await list("");
    expect(items).toHaveLength(1);
    expect(wakes).toBe(before + 1);
  });
});

describe("deliveries", () => {
  test("are listed newest first, in pages that hold each once, by endpoint and by status", async () => {
    const [a, b] = [await makeEndpoint(), await makeEndpoint()];
    const made: string[] = [];
    for (const id of [a, b, a]) made.unshift((await sendTest(id)).deliveryId);
    await end("failed");
    for (const id of [a, b]) made.unshift((await sendTest(id)).deliveryId);

    const seen: string[] = [];
    for (let query = "limit=2"; ; ) {
      const page = await list(query);
      seen.push(...page.items.map(({ id }) => id));
      if (page.nextCursor === null) break;
      query = `limit=2&cursor=${page.nextCursor}`;
    }
    expect(seen).toEqual(made);
    expect((await list("status=failed")).items.map(({ id }) => id)).toEqual(made.slice(2));
    expect((await list(`status=failed&endpointId=${b}`)).items.map(({ id }) => id)).toEqual([made[3]]);
    expect((await list("status=delivered")).items).toEqual([]);
  });

  test("show each attempt with what its time went on", async () => {
    const { deliveryId } = await sendTest(await makeEndpoint());
    await db.database.query(
      `INSERT INTO delivery_attempts (delivery_id, attempt, started_at, duration_ms, http_status, error, error_code,
         response_body, dns_ms, connect_ms, tls_ms, first_byte_ms)
       SELECT id, n, now(), 40, CASE n WHEN 4 THEN 503 END, CASE n WHEN 4 THEN 'status' ELSE 'dns' END,
         CASE n WHEN 2 THEN 'ENOTFOUND' END, CASE n WHEN 4 THEN 'later' END, 3, CASE n WHEN 4 THEN 5 END,
         CASE n WHEN 4 THEN 7 END, CASE n WHEN 4 THEN 11 END FROM deliveries, unnest('{2,4}'::integer[]) n`,
    );
    const { attempts } = deliveryDetailShape.parse(
      (await api.call("GET", `/v1/deliveries/${deliveryId}`)).body,
    );
    expect(attempts.map(({ startedAt: _, ...rest }) => rest)).toEqual([
      {
        attempt: 1,
        durationMs: 40,
        dnsMs: 3,
        connectMs: null,
        tlsMs: null,
        firstByteMs: null,
        httpStatus: null,
        error: "dns",
        errorCode: "ENOTFOUND",
        responseBody: null,
      },
      {
        attempt: 2,
        durationMs: 40,
        dnsMs: 3,
        connectMs: 5,
        tlsMs: 7,
        firstByteMs: 11,
        httpStatus: 503,
        error: "status",
        errorCode: null,
        responseBody: "later",
      },
    ]);
  });

  test("are sent again by a retry", async () => {
    const { deliveryId } = await sendTest(await makeEndpoint());
    await end("failed");
    const before = wakes;
    const answer = await api.call("POST", `/v1/deliveries/${deliveryId}/retry`);
    expect(answer.status).toBe(202);
    expect(deliveryDetailShape.parse(answer.body)).toMatchObject({
      id: deliveryId,
      status: "due",
      finishedAt: null,
    });
    expect(wakes).toBe(before + 1);
  });

  test("are nobody else's", async () => {
    const { deliveryId } = await sendTest(await makeEndpoint());
    const { key } = await api.addMerchant("Stranger");
    expect((await api.call("GET", "/v1/deliveries", { key })).body).toEqual({ items: [], nextCursor: null });
    expect(await api.call("GET", `/v1/deliveries/${deliveryId}`, { key })).toMatchObject({ status: 404 });
    expect(await api.call("POST", `/v1/deliveries/${deliveryId}/retry`, { key })).toMatchObject({
      status: 404,
    });
    expect(await api.call("GET", "/v1/events", { key })).toMatchObject({
      body: { items: [], nextAfter: null, hasMore: false },
    });
  });

  test.each(["status=lost", "cursor=bm9uc2Vuc2U", "limit=0", "endpointId=a%20b"])(
    "are not listed by %s",
    async (query) => {
      expect((await api.call("GET", `/v1/deliveries?${query}`)).status).toBe(400);
    },
  );
});

describe("a replay", () => {
  test("G1: sends an endpoint's failed deliveries again", async () => {
    const id = await makeEndpoint();
    await sendTest(id);
    await end("failed");
    await sendTest(id);
    await end("delivered");
    const since = "2026-01-01T00:00:00Z";
    const answer = await api.call("POST", `/v1/endpoints/${id}/replay`, {
      body: { since, statuses: ["failed"] },
    });
    expect(answer.status).toBe(202);
    const replay = replayShape.parse(answer.body);
    expect(replay).toMatchObject({ endpointId: id, statuses: ["failed"], total: 1, done: 1, status: "done" });
    expect((await api.call("GET", `/v1/replays/${replay.id}`)).body).toEqual(answer.body);
    const { items } = await list("status=due");
    expect(items).toHaveLength(1);
  });

  test.each([{}, { since: "yesterday" }, { since: "2026-01-01T00:00:00Z", statuses: ["due"] }])(
    "is refused as %j",
    async (body) => {
      const id = await makeEndpoint();
      expect((await api.call("POST", `/v1/endpoints/${id}/replay`, { body })).status).toBe(400);
    },
  );
});

describe("the feed", () => {
  test("is read on from where it was left, and from its end for what comes", async () => {
    const id = await makeEndpoint();
    const ids: string[] = [];
    for (let n = 0; n < 5; n++) ids.push((await sendTest(id)).eventId);
    await feedOf(5);
    const read = async (query: string) =>
      feedShape.parse((await api.call("GET", `/v1/events?${query}`)).body);
    const first = await read("limit=3");
    expect([first.items.map((item) => item.id), first.hasMore]).toEqual([ids.slice(0, 3), true]);
    const second = await read(`limit=3&after=${first.nextAfter}`);
    expect([second.items.map((item) => item.id), second.hasMore]).toEqual([ids.slice(3), false]);
    const end = await read("after=end");
    expect(end).toEqual({ items: [], nextAfter: second.nextAfter, hasMore: false });
    expect(await read(`after=${end.nextAfter}`)).toEqual(end);
    const { eventId } = await sendTest(id);
    await feedOf(6);
    expect((await read(`after=${end.nextAfter}`)).items.map((item) => item.id)).toEqual([eventId]);
  });

  test("does not take an `after` that it never gave", async () => {
    for (const after of ["nonsense", "MS5ldnRfMQ"])
      expect(await api.call("GET", `/v1/events?after=${after}`)).toMatchObject({
        status: 400,
        body: { code: "invalid_cursor" },
      });
  });
});

describe("/metrics", () => {
  test("counts endpoints by how they are", async () => {
    const [, failing, paused, disabled] = [
      await makeEndpoint(),
      await makeEndpoint(),
      await makeEndpoint(),
      await makeEndpoint(),
    ];
    await db.database.query("UPDATE endpoints SET failing_since = now() WHERE id = ANY ($1)", [
      [failing, paused],
    ]);
    await db.database.query("UPDATE endpoints SET paused_until = now() + interval '1 hour' WHERE id = $1", [
      paused,
    ]);
    await api.call("PATCH", `/v1/endpoints/${disabled}`, { body: { status: "disabled" } });
    const { text } = await api.call("GET", "/metrics", { key: null });
    const counts = [...text.matchAll(/^depositd_endpoints\{state="(\w+)"\} (\d+)$/gm)].map(([, state, n]) => [
      state,
      n,
    ]);
    expect(Object.fromEntries(counts)).toEqual({ enabled: "3", failing: "2", paused: "1", disabled: "1" });
  });
});

describe("an endpoint that is enabled", () => {
  test("G5: gets what was kept, or not, as the merchant says", async () => {
    const [wanting, skipping] = [await makeEndpoint(), await makeEndpoint()];
    for (const id of [wanting, skipping]) {
      await api.call("PATCH", `/v1/endpoints/${id}`, { body: { status: "disabled" } });
      await sendTest(id);
    }
    await api.call("PATCH", `/v1/endpoints/${wanting}`, { body: { status: "enabled" } });
    await api.call("PATCH", `/v1/endpoints/${skipping}`, { body: { status: "enabled", keptEvents: "skip" } });
    expect((await list("status=due")).items.map(({ endpointId }) => endpointId)).toEqual([wanting]);
    expect((await list("status=skipped")).items.map(({ endpointId }) => endpointId)).toEqual([skipping]);
    const body = { status: "disabled", keptEvents: "skip" };
    expect((await api.call("PATCH", `/v1/endpoints/${wanting}`, { body })).status).toBe(400);
  });

  test("G5: loses nothing of what was kept to a change that is refused", async () => {
    const id = await makeEndpoint();
    await api.call("PATCH", `/v1/endpoints/${id}`, { body: { status: "disabled" } });
    await sendTest(id);
    const body = { status: "enabled", keptEvents: "skip", url: "nonsense" };
    expect((await api.call("PATCH", `/v1/endpoints/${id}`, { body })).status).toBe(422);
    expect((await list("status=due")).items.map(({ endpointId }) => endpointId)).toEqual([id]);
  });

  test("G5: skips nothing that came since, when it is told once more", async () => {
    const id = await makeEndpoint();
    const body = { status: "enabled", keptEvents: "skip" };
    await sendTest(id);
    expect((await api.call("PATCH", `/v1/endpoints/${id}`, { body })).status).toBe(200);
    expect((await list("status=due")).items.map(({ endpointId }) => endpointId)).toEqual([id]);
  });
});
