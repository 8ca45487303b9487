import { Webhook } from "standardwebhooks";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { attemptDelivery } from "../delivery/attempt-delivery.ts";
import { createRequestOpeners } from "../delivery/callback-request.ts";
import { claimDeliveries } from "../delivery/claim-store.ts";
import { countBacklog, getDelivery, listDeliveries } from "../delivery/delivery-list-store.ts";
import { createEgress } from "../delivery/egress.ts";
import { resealSecrets, rotateSecret } from "../delivery/endpoint-secret-store.ts";
import { beginReplay } from "../delivery/replay-batches.ts";
import { orderReplay } from "../delivery/replay-store.ts";
import { systemClock } from "../runtime/clock.ts";
import type { CallbacksConfig } from "../runtime/config/config.ts";
import { type Logger, silentLogger } from "../runtime/logger.ts";
import { systemRandom } from "../runtime/random.ts";
import { createSecretBox } from "../runtime/secret-box.ts";
import { insertDeliveries, insertEndpoint, testSecretBox } from "../testing/callbacks.ts";
import { createTestDatabase, type TestDatabase } from "../testing/database.ts";
import { MERCHANT_ID } from "../testing/factory.ts";
import { startHttpProxy } from "../testing/http-proxy.ts";
import { type Sink, type SinkRequest, startSink } from "../testing/sink.ts";
import { waitFor } from "../testing/wait-for.ts";
import { createDeliverer, type Deliverer, type DelivererParts } from "./deliver-callbacks.ts";

let test: TestDatabase;
const sinks: Sink[] = [];
const stops: (() => Promise<void>)[] = [];

beforeAll(async () => {
  test = await createTestDatabase();
});
afterAll(() => test.drop());
beforeEach(() => test.database.query("TRUNCATE delivery_attempts, deliveries, events, replays, endpoints"));
afterEach(async () => {
  for (const stop of stops.splice(0)) await stop();
  for (const each of sinks.splice(0)) await each.close();
});

const CALLBACKS: CallbacksConfig = {
  timeoutMs: 5_000,
  scheduleMs: [0, 10, 10, 10],
  allowPrivateTargets: true,
  connectTimeoutMs: 10_000,
  headersTimeoutMs: null,
  bodyTimeoutMs: 5_000,
  proxyUrl: null,
  clientCertificate: null,
  disableAfterMs: 5 * 86_400_000,
  concurrency: 64,
};

/** A deliverer that is not swept by time unless the test says so; it is stopped after the test. */
function deliverer(
  options: Partial<DelivererParts> = {},
  callbacks: Partial<CallbacksConfig> = {},
): Deliverer & { stop(): Promise<void> } {
  const created = createDeliverer({
    database: test.database,
    secretBox: testSecretBox,
    callbacks: () => ({ ...CALLBACKS, ...callbacks }),
    sweepIntervalMs: 3_600_000,
    shutdownGraceMs: 2_000,
    clock: systemClock,
    random: systemRandom,
    logger: silentLogger,
    ...options,
  });
  const abort = new AbortController();
  const running = created.run(abort.signal);
  const stop = async () => {
    abort.abort();
    await running;
  };
  stops.push(stop);
  return { ...created, stop };
}

async function sink(options: Parameters<typeof startSink>[0] = {}): Promise<Sink> {
  const started = await startSink(options);
  sinks.push(started);
  return started;
}

async function states(endpointId: string): Promise<Record<string, number>> {
  const rows = await test.database.query<{ state: string; count: number }>(
    "SELECT state, count(*)::integer AS count FROM deliveries WHERE endpoint_id = $1 GROUP BY state",
    [endpointId],
  );
  return Object.fromEntries(rows.map(({ state, count }) => [state, count]));
}

async function onlyDelivery() {
  const [delivery] = await listDeliveries(test.database, { merchantId: MERCHANT_ID, limit: 2 });
  return getDelivery(test.database, MERCHANT_ID, delivery?.id ?? "");
}

/** As if everything that waits had waited long enough. */
async function letTimePass(): Promise<void> {
  await test.database.query(
    `UPDATE deliveries SET next_attempt_at = least(next_attempt_at, now()),
       claimed_until = least(claimed_until, now() - interval '1 second') WHERE state = 'due'`,
  );
  await test.database.query("UPDATE endpoints SET paused_until = least(paused_until, now())");
}

describe("the deliverer", () => {
  it("G8: delivers every event to every endpoint once, and the stock package verifies each", async () => {
    const merchants = [await sink(), await sink()];
    const endpoints = [];
    for (const [index, merchant] of merchants.entries()) {
      endpoints.push(await insertEndpoint(test.database, `${merchant.url}/hook`, `end_${index}`));
    }
    await insertDeliveries(test.database, ["end_0", "end_1"], 300);
    await deliverer().drain();

    const events = await test.database.query<{ id: string; body: string }>("SELECT id, body FROM events");
    const expected = new Map(events.map(({ id, body }) => [`evt_${id.replaceAll("-", "")}`, body]));
    for (const [index, merchant] of merchants.entries()) {
      expect(
        new Map(merchant.requests.map(({ headers, body }) => [headers["webhook-id"], body.toString()])),
      ).toEqual(expected);
      expect(merchant.requests).toHaveLength(300);
      const webhook = new Webhook(endpoints[index]?.secret ?? "");
      for (const request of merchant.requests) {
        expect(request.headers["content-type"]).toBe("application/json");
        webhook.verify(request.body.toString(), request.headers as Record<string, string>);
      }
    }
    expect(await states("end_0")).toEqual({ delivered: 300 });
  });

  it("G1: tries again as the schedule says, with the same id and body, and fails after the last", async () => {
    const merchant = await sink();
    merchant.answer({ status: 503, body: "later" });
    const { secret } = await insertEndpoint(test.database, merchant.url);
    await insertDeliveries(test.database, ["end_test"]);
    const by = deliverer();
    await waitFor(async () => {
      await by.drain();
      return (await states("end_test"))["failed"] === 1;
    });

    expect(merchant.requests).toHaveLength(CALLBACKS.scheduleMs.length);
    expect(new Set(merchant.requests.map(({ headers }) => headers["webhook-id"])).size).toBe(1);
    expect(new Set(merchant.requests.map(({ body }) => body.toString())).size).toBe(1);
    for (const request of merchant.requests) {
      new Webhook(secret).verify(request.body.toString(), request.headers as Record<string, string>);
    }
    const { attempts } = await onlyDelivery();
    expect(
      attempts.map(({ attempt, httpStatus, error, responseBody }) => [
        attempt,
        httpStatus,
        error,
        responseBody,
      ]),
    ).toEqual([1, 2, 3, 4].map((attempt) => [attempt, 503, "status", "later"]));
  });

  it("G1: down for three days: fails after the tenth attempt, is listed, and a replay delivers it under the same id", async () => {
    const merchant = await sink();
    merchant.answer({ status: 502 });
    await insertEndpoint(test.database, merchant.url);
    await insertDeliveries(test.database, ["end_test"]);
    const hours = 3_600_000;
    const scheduleMs = [0, 5_000, 300_000, 1_800_000, ...[2, 5, 10, 14, 20, 24].map((each) => each * hours)];
    const by = deliverer({}, { scheduleMs });
    const waits: number[] = [];
    for (let attempt = 1; attempt <= 10; attempt++) {
      await by.drain();
      const { delivery, attempts } = await onlyDelivery();
      expect(attempts).toHaveLength(attempt);
      waits.push((delivery.nextAttemptAt?.getTime() ?? 0) - systemClock.now());
      await letTimePass();
    }
    for (const [index, wait] of waits.slice(0, 9).entries()) {
      const scheduled = scheduleMs[index + 1] ?? 0;
      expect(wait).toBeGreaterThan(scheduled * 0.8 - 3_000);
      expect(wait).toBeLessThanOrEqual(scheduled * 1.2);
    }
    const failed = await listDeliveries(test.database, {
      merchantId: MERCHANT_ID,
      state: "failed",
      limit: 10,
    });
    expect(failed).toHaveLength(1);

    merchant.answer({ status: 204 });
    const since = new Date(systemClock.now() - hours);
    const wanted = { endpointId: "end_test", since, states: ["failed"] } as const;
    const { id } = await orderReplay(test.database, systemRandom, wanted);
    await beginReplay(test.database, id);
    await by.drain();
    expect(await states("end_test")).toEqual({ delivered: 1 });
    expect(new Set(merchant.requests.map(({ headers }) => headers["webhook-id"])).size).toBe(1);
    expect(new Set(merchant.requests.map(({ body }) => body.toString())).size).toBe(1);
  });

  it("G1: delivers at last to an endpoint that was down", async () => {
    const merchant = await sink();
    merchant.answer((_request, count) => ({ status: count < 2 ? 500 : 204 }));
    await insertEndpoint(test.database, merchant.url);
    await insertDeliveries(test.database, ["end_test"]);
    const by = deliverer();
    await waitFor(async () => {
      await by.drain();
      return (await states("end_test"))["delivered"] === 1;
    });
    expect(merchant.requests).toHaveLength(3);
  });

  it("G2: killed between send and mark, it is sent again with the same id and body", async () => {
    const merchant = await sink();
    await insertEndpoint(test.database, merchant.url);
    await insertDeliveries(test.database, ["end_test"]);
    // All that a process does that dies after the answer and before its record.
    const { deliveries } = await claimDeliveries(test.database, {
      limit: 1,
      perEndpoint: 1,
      freeByEndpoint: new Map(),
      leaseMs: 60_000,
      after: "",
    });
    const [claim] = deliveries;
    if (claim === undefined) throw new Error("nothing claimed");
    const egress = createEgress({ allowPrivateTargets: true, clock: systemClock });
    const parts = {
      egress,
      openers: createRequestOpeners(testSecretBox),
      clock: systemClock,
      logger: silentLogger,
    };
    expect((await attemptDelivery(parts, claim, 1_000)).error).toBe(null);
    await egress.destroy();

    const by = deliverer();
    await by.drain();
    expect(merchant.requests).toHaveLength(1); // its claim still holds
    await letTimePass();
    await by.drain();
    expect(merchant.requests).toHaveLength(2);
    const [first, second] = merchant.requests;
    expect(second?.headers["webhook-id"]).toBe(first?.headers["webhook-id"]);
    expect(second?.body).toEqual(first?.body);
    const { delivery, attempts } = await onlyDelivery();
    expect(delivery.state).toBe("delivered");
    expect(attempts).toHaveLength(1);
  });

  it("G2: killed a hundred times while sending, it uses up none of the merchant's attempts", async () => {
    const merchant = await sink();
    merchant.answer((_request, count) => ({ status: count === 0 ? 500 : 204 }));
    await insertEndpoint(test.database, merchant.url);
    await insertDeliveries(test.database, ["end_test"]);
    await test.database.query(
      "UPDATE deliveries SET attempt = 100, claimed_until = now() - interval '1 second'",
    );
    const by = deliverer();
    await waitFor(async () => {
      await by.drain();
      return (await states("end_test"))["delivered"] === 1;
    });
  });

  it("G3: each misbehaviour is a failed attempt with its class, and is tried again", async () => {
    const cases = {
      end_301: { answer: { status: 301, headers: { location: "http://127.0.0.1:1/" } }, error: "redirect" },
      end_404: { answer: { status: 404 }, error: "status" },
      end_429: { answer: { status: 429, headers: { "retry-after": "600" } }, error: "status" },
      end_hang: { answer: { trouble: "hang" }, error: "timeout" },
      end_reset: { answer: { trouble: "reset" }, error: "reset" },
      end_tls: { answer: {}, error: "tls" },
    } as const;
    for (const [id, { answer }] of Object.entries(cases)) {
      const merchant = await sink({ tls: id === "end_tls" });
      merchant.answer(answer);
      await insertEndpoint(test.database, merchant.url, id);
    }
    await insertDeliveries(test.database, Object.keys(cases));
    await deliverer({}, { timeoutMs: 300, scheduleMs: [0, 20_000] }).drain();

    const rows = await test.database.query<{
      endpoint_id: string;
      state: string;
      error: string;
      wait: number;
    }>(
      `SELECT d.endpoint_id, d.state, a.error, extract(epoch FROM d.next_attempt_at - now())::integer AS wait
       FROM deliveries d JOIN delivery_attempts a ON a.delivery_id = d.id`,
    );
    expect(Object.fromEntries(rows.map((row) => [row.endpoint_id, row.error]))).toEqual(
      Object.fromEntries(Object.entries(cases).map(([id, { error }]) => [id, error])),
    );
    for (const { endpoint_id, state, wait } of rows) {
      expect(state).toBe("due");
      const [least, most] = { end_429: [590, 600], end_hang: [55, 90] }[endpoint_id] ?? [14, 24];
      expect(wait).toBeGreaterThanOrEqual(least ?? 0);
      expect(wait).toBeLessThanOrEqual(most ?? 0);
    }
  });

  it("G3: a body of 100 MB, or one that never ends, delivers and is not kept", async () => {
    const merchant = await sink();
    merchant.answer({ status: 200, trouble: "endless-body" });
    await insertEndpoint(test.database, merchant.url);
    await insertDeliveries(test.database, ["end_test"]);
    await deliverer().drain();
    const { delivery, attempts } = await onlyDelivery();
    expect(delivery.state).toBe("delivered");
    expect(attempts[0]?.responseBody).toBe("(not kept: longer than 65536 bytes)");
  });

  it("G3: 410 disables the endpoint; what happens meanwhile is kept and sent when it is enabled again", async () => {
    const merchant = await sink();
    merchant.answer({ status: 410 });
    await insertEndpoint(test.database, merchant.url);
    await insertDeliveries(test.database, ["end_test"]);
    const by = deliverer();
    await by.drain();
    expect(await test.database.query("SELECT status, disabled_reason FROM endpoints")).toEqual([
      { status: "disabled", disabled_reason: "gone" },
    ]);

    merchant.answer({ status: 204 });
    await insertDeliveries(test.database, ["end_test"], 3);
    await letTimePass();
    await by.drain();
    expect(merchant.requests).toHaveLength(1);
    expect(await countBacklog(test.database)).toMatchObject({ held: 4, dueNow: 0 });

    await test.database.query("UPDATE endpoints SET status = 'enabled', disabled_reason = NULL");
    await by.drain();
    expect(await states("end_test")).toEqual({ delivered: 4 });
  });

  it("G4: one endpoint that hangs, among a hundred: the others notice nothing", async () => {
    const hanging = await sink();
    hanging.answer({ trouble: "hang" });
    const healthy = await sink();
    const ids = Array.from({ length: 99 }, (_, n) => `end_${n}`);
    for (const id of ids) await insertEndpoint(test.database, `${healthy.url}/${id}`, id);
    await insertEndpoint(test.database, hanging.url, "end_0_hangs");
    await insertDeliveries(test.database, ["end_0_hangs", ...ids], 8);

    // The attempt that hangs would end long after the test: who waited for it would be too late.
    deliverer({}, { timeoutMs: 120_000, concurrency: 16 }).nudge();
    await healthy.received(99 * 8, 25_000);
    // Its share, and not one for each of its eight.
    expect(hanging.requests.length).toBeLessThanOrEqual(2);
  });

  it("G4: an endpoint that begins to hang in the middle of a flood does not hold up another", async () => {
    const flooded = await sink();
    flooded.answer((_request, count) => (count < 200 ? {} : { trouble: "hang" }));
    const healthy = await sink();
    await insertEndpoint(test.database, flooded.url, "end_flooded");
    await insertEndpoint(test.database, healthy.url, "end_healthy");
    await insertDeliveries(test.database, ["end_flooded"], 1_000);
    const by = deliverer({}, { timeoutMs: 60_000, concurrency: 16 });
    by.nudge();
    await flooded.received(205);
    await insertDeliveries(test.database, ["end_healthy"], 100);
    by.nudge();
    await healthy.received(100);
    expect(flooded.requests.length).toBeLessThanOrEqual(208);
  });

  it("G4: leaves a dead endpoint alone after some failures, with all that waits for it, and delivers all when it is back", async () => {
    const merchant = await sink();
    merchant.answer({ status: 503 });
    await insertEndpoint(test.database, merchant.url);
    await insertDeliveries(test.database, ["end_test"], 300);
    const by = deliverer({}, { scheduleMs: [0, 3_600_000, 3_600_000] });
    await by.drain();
    expect(merchant.requests.length).toBeLessThanOrEqual(40);
    for (let probe = 0; probe < 3; probe++) {
      const before = merchant.requests.length;
      await letTimePass();
      await by.drain();
      expect(merchant.requests.length - before).toBeLessThanOrEqual(4);
    }
    merchant.answer({ status: 204 });
    await letTimePass();
    await by.drain();
    expect(await states("end_test")).toEqual({ delivered: 300 });
  });

  it("G1: disables an endpoint that failed for days, tells the merchant's others, and keeps what happens meanwhile", async () => {
    const [dead, other] = [await sink(), await sink()];
    dead.answer({ status: 500 });
    await insertEndpoint(test.database, dead.url, "end_dead");
    await insertEndpoint(test.database, other.url, "end_other");
    await test.database.query("UPDATE endpoints SET events = '{endpoint.test,endpoint.disabled}'");
    await test.database.query(
      `UPDATE endpoints SET failing_since = now() - interval '6 days', last_failed_at = now() - interval '1 hour'
       WHERE id = 'end_dead'`,
    );
    await insertDeliveries(test.database, ["end_dead"]);
    const by = deliverer();
    await by.drain();
    await other.received(1);
    const told = JSON.parse(other.requests[0]?.body.toString() ?? "{}");
    expect(told).toMatchObject({
      type: "endpoint.disabled",
      data: { endpointId: "end_dead", url: dead.url, reason: "failing" },
    });
    expect(new Date(told.data.failingSince).getTime()).toBeLessThan(Date.now() - 5 * 86_400_000);
    await insertDeliveries(test.database, ["end_dead"], 2);
    await letTimePass();
    await by.drain();
    expect(dead.requests).toHaveLength(1);
    expect(await states("end_dead")).toEqual({ due: 3 });
    expect(await countBacklog(test.database)).toMatchObject({ held: 3 });
  });

  it("waits before the first attempt as the schedule says, and follows an endpoint's own schedule", async () => {
    const merchant = await sink();
    merchant.answer({ status: 500 });
    await insertEndpoint(test.database, merchant.url, "end_own");
    await test.database.query("UPDATE endpoints SET schedule_ms = '{0,60000}' WHERE id = 'end_own'");
    await insertEndpoint(test.database, merchant.url, "end_common");
    const by = deliverer({ sweepIntervalMs: 20 }, { scheduleMs: [3_600_000, 10] });
    const firstDelay = async () => {
      const rows = await test.database.query<{ ms: number }>(
        "SELECT first_delay_ms AS ms FROM endpoints ORDER BY id",
      );
      return rows.map(({ ms }) => ms);
    };
    await waitFor(async () => (await firstDelay())[0] === 3_600_000);
    expect(await firstDelay()).toEqual([3_600_000, 0]);
    await insertDeliveries(test.database, ["end_own"]);
    await by.drain();
    const { attempts, delivery } = await onlyDelivery();
    expect(attempts).toHaveLength(1);
    const inMs = (delivery.nextAttemptAt?.getTime() ?? 0) - systemClock.now();
    expect(inMs).toBeGreaterThan(40_000);
    expect(inMs).toBeLessThanOrEqual(72_000);
    await letTimePass();
    await by.drain();
    expect((await onlyDelivery()).delivery.state).toBe("failed");
  });

  it("uses up no attempt while the egress proxy is away, and delivers through it when it is back", async () => {
    const merchant = await sink();
    await insertEndpoint(test.database, merchant.url);
    await insertDeliveries(test.database, ["end_test"], 3);
    const proxy = await startHttpProxy();
    stops.push(() => proxy.close());
    proxy.refuse("407 Proxy Authentication Required");
    const by = deliverer({}, { proxyUrl: proxy.url.replace("//", "//user:p%40ss@") });
    await by.drain();
    expect((await onlyDelivery()).attempts).toEqual([]);
    expect(await countBacklog(test.database)).toMatchObject({ waiting: 3 });
    expect(await test.database.query("SELECT failures, paused_until FROM endpoints")).toEqual([
      { failures: 0, paused_until: null },
    ]);
    proxy.refuse(null);
    await letTimePass();
    await by.drain();
    expect(await states("end_test")).toEqual({ delivered: 3 });
    expect(proxy.asked).toContain(`127.0.0.1:${merchant.port}`);
    expect(proxy.authorizations).toContain(`Basic ${Buffer.from("user:p@ss").toString("base64")}`);
  });

  it("G6: signs with both secrets during the overlap of a rotation, and with the new one alone after it", async () => {
    const merchant = await sink();
    const { secret: before } = await insertEndpoint(test.database, merchant.url);
    const rotate = (overlapMs: number) =>
      rotateSecret(
        { sql: test.database, secretBox: testSecretBox, random: systemRandom },
        { merchantId: MERCHANT_ID, id: "end_test", overlapMs },
      );
    const isTaken = (secret: string | null, request: SinkRequest | undefined) => {
      try {
        new Webhook(secret ?? "").verify(
          request?.body.toString() ?? "",
          (request?.headers ?? {}) as Record<string, string>,
        );
        return true;
      } catch {
        return false;
      }
    };
    const by = deliverer();
    const deliverOne = async () => {
      await insertDeliveries(test.database, ["end_test"]);
      await by.drain();
      return merchant.requests.at(-1);
    };
    const after = await rotate(3_600_000);
    const during = await deliverOne();
    expect([isTaken(before, during), isTaken(after, during)]).toEqual([true, true]);
    await test.database.query("UPDATE endpoints SET previous_until = now() - interval '1 second'");
    const over = await deliverOne();
    expect([isTaken(before, over), isTaken(after, over)]).toEqual([false, true]);
    const last = await rotate(0);
    const atOnce = await deliverOne();
    expect([isTaken(after, atOnce), isTaken(last, atOnce)]).toEqual([false, true]);
  });

  it("G6: signs on across a rotation of the key that secrets are sealed under, resealed or not", async () => {
    const merchant = await sink();
    const { secret } = await insertEndpoint(test.database, merchant.url);
    const newKey = systemRandom.bytes(32);
    const both = createSecretBox(newKey, systemRandom, [Buffer.alloc(32, 7)]);
    await insertDeliveries(test.database, ["end_test"]);
    await deliverer({ secretBox: both }).drain();
    expect(await resealSecrets(test.database, both, () => undefined)).toBe(1);
    expect(await resealSecrets(test.database, both, () => undefined)).toBe(0);
    await insertDeliveries(test.database, ["end_test"]);
    await deliverer({ secretBox: createSecretBox(newKey, systemRandom) }).drain();
    expect(merchant.requests).toHaveLength(2);
    for (const { body, headers } of merchant.requests)
      new Webhook(secret).verify(body.toString(), headers as Record<string, string>);
  });

  it("sends the headers that the merchant wants, and never in place of its own", async () => {
    const merchant = await sink();
    await insertEndpoint(test.database, merchant.url);
    const headers = { authorization: "Bearer gateway", "content-type": "text/plain" };
    await test.database.query(
      "UPDATE endpoints SET headers = $1, header_names = '{authorization,content-type}'",
      [testSecretBox.seal(Buffer.from(JSON.stringify(headers)))],
    );
    await insertDeliveries(test.database, ["end_test"]);
    await deliverer().drain();
    expect(merchant.requests[0]?.headers).toMatchObject({
      authorization: "Bearer gateway",
      "content-type": "application/json",
    });
  });

  it("G7: never connects to private targets unless they are allowed", async () => {
    const internal = await sink({ tls: true });
    await insertEndpoint(test.database, `${internal.url}/admin`, "end_literal");
    await insertEndpoint(test.database, `https://localhost:${internal.port}/admin`, "end_name");
    await insertDeliveries(test.database, ["end_literal", "end_name"]);
    await deliverer({}, { allowPrivateTargets: false, scheduleMs: [0, 60_000] }).drain();
    const rows = await test.database.query(
      "SELECT d.endpoint_id, a.error FROM deliveries d JOIN delivery_attempts a ON a.delivery_id = d.id ORDER BY 1",
    );
    expect(rows).toEqual([
      { endpoint_id: "end_literal", error: "invalid_url" },
      { endpoint_id: "end_name", error: "blocked_address" },
    ]);
    expect(internal.connectionCount()).toBe(0);
  });

  it("H1: two deliverers share the work, each delivery once", async () => {
    const merchant = await sink();
    await insertEndpoint(test.database, merchant.url);
    await insertDeliveries(test.database, ["end_test"], 500);
    await Promise.all([deliverer().drain(), deliverer().drain()]);
    await merchant.received(500);
    expect(merchant.requests).toHaveLength(500);
    expect(new Set(merchant.requests.map(({ headers }) => headers["webhook-id"])).size).toBe(500);
  });

  it("H3: carries on when its database connections are cut, and loses nothing", async () => {
    const merchant = await sink();
    merchant.answer({ delayMs: 5 });
    await insertEndpoint(test.database, merchant.url);
    await insertDeliveries(test.database, ["end_test"], 300);
    deliverer({ sweepIntervalMs: 50 });
    for (let cuts = 1; cuts <= 3; cuts++) {
      await merchant.received(cuts * 50);
      await test.database.query(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()",
      );
    }
    await waitFor(async () => {
      await letTimePass();
      return (await states("end_test"))["delivered"] === 300;
    });
    expect(new Set(merchant.requests.map(({ headers }) => headers["webhook-id"])).size).toBe(300);
  });

  it("H6: finds by its sweep what no nudge told of", async () => {
    const merchant = await sink();
    await insertEndpoint(test.database, merchant.url);
    deliverer({ sweepIntervalMs: 20 });
    await insertDeliveries(test.database, ["end_test"]);
    await merchant.received(1);
  });

  it("delivers what is committed while it delivers, nudge or not lost", async () => {
    const merchant = await sink();
    merchant.answer({ delayMs: 1 });
    await insertEndpoint(test.database, merchant.url);
    const by = deliverer();
    for (let n = 0; n < 50; n++) {
      await insertDeliveries(test.database, ["end_test"], 2);
      by.nudge();
    }
    await merchant.received(100);
    await by.drain();
    expect(await states("end_test")).toEqual({ delivered: 100 });
  });

  it("H10: stops within its grace: what ends in time is recorded, the rest handed back and attempted at once by the next", async () => {
    const merchant = await sink();
    merchant.answer((_request, count) => (count === 0 ? { delayMs: 200 } : { trouble: "hang" }));
    await insertEndpoint(test.database, merchant.url);
    await insertDeliveries(test.database, ["end_test"], 2);
    const stopped = deliverer({ shutdownGraceMs: 1_000 }, { timeoutMs: 60_000 });
    stopped.nudge();
    await merchant.received(2);
    const startedAt = systemClock.monotonic();
    await stopped.stop();
    expect(systemClock.monotonic() - startedAt).toBeLessThan(1_000);
    expect(await states("end_test")).toEqual({ delivered: 1, due: 1 });

    merchant.answer({ status: 204 });
    stopped.nudge(); // stopped for good
    await deliverer().drain();
    expect(await states("end_test")).toEqual({ delivered: 2 });
    const [, cutOff, again] = merchant.requests;
    expect(again?.headers["webhook-id"]).toBe(cutOff?.headers["webhook-id"]);
    expect(again?.body).toEqual(cutOff?.body);
    expect(merchant.requests).toHaveLength(3);
  });

  it("tells when the next retry is due", async () => {
    const merchant = await sink();
    merchant.answer({ status: 500 });
    await insertEndpoint(test.database, merchant.url);
    await insertDeliveries(test.database, ["end_test"]);
    const told: Date[] = [];
    const fixed = { ...systemRandom, fraction: () => 0.5 };
    await deliverer(
      { onRetryAt: (time) => told.push(time), random: fixed },
      { scheduleMs: [0, 30_000] },
    ).drain();
    const inMs = (told.at(-1)?.getTime() ?? 0) - systemClock.now();
    expect(inMs).toBeGreaterThan(25_000);
    expect(inMs).toBeLessThanOrEqual(30_000);
  });

  it("writes one line for each attempt, without secret or token", async () => {
    const lines: { sentence: string; fields: Record<string, unknown> }[] = [];
    const keep = (sentence: string, fields = {}) => lines.push({ sentence, fields });
    const logger: Logger = { debug: keep, info: keep, warn: keep, error: keep, with: () => logger };
    const merchant = await sink();
    merchant.answer((_request, count) => ({ status: count === 0 ? 500 : 204, body: "ok" }));
    const { secret } = await insertEndpoint(test.database, `${merchant.url}/path-token?key=query-token`);
    await insertDeliveries(test.database, ["end_test"]);
    const reports: string[] = [];
    const by = deliverer({ logger, onAttempt: ({ decision }) => reports.push(decision) });
    await waitFor(async () => {
      await by.drain();
      return (await states("end_test"))["delivered"] === 1;
    });
    expect(reports).toEqual(["retry", "delivered"]);
    expect(lines.map(({ sentence }) => sentence)).toEqual(["Attempted delivery", "Attempted delivery"]);
    expect(lines[0]?.fields).toMatchObject({
      endpoint_id: "end_test",
      merchant_id: MERCHANT_ID,
      event_type: "endpoint.test",
      attempt: 1,
      http_status: 500,
      error_class: "status",
      decision: "retry",
      host: new URL(merchant.url).host,
    });
    expect(lines[1]?.fields).toMatchObject({
      attempt: 2,
      claim: 2,
      http_status: 204,
      decision: "delivered",
    });
    const text = JSON.stringify(lines);
    for (const hidden of ["path-token", "query-token", secret, secret.slice("whsec_".length)])
      expect(text).not.toContain(hidden);
  });

  it("does not count attempts that it could not sign, and tries them later", async () => {
    const merchant = await sink();
    await insertEndpoint(test.database, merchant.url);
    await insertDeliveries(test.database, ["end_test"]);
    await test.database.query("UPDATE endpoints SET secret = '\\x00'");
    await deliverer().drain();
    expect(merchant.requests).toHaveLength(0);
    expect((await onlyDelivery()).attempts).toEqual([]);
    expect(await countBacklog(test.database)).toMatchObject({ waiting: 1 });
  });

  it("fails what is due to a deleted endpoint at its sweep", async () => {
    const merchant = await sink();
    await insertEndpoint(test.database, merchant.url);
    await insertDeliveries(test.database, ["end_test"], 2);
    await test.database.query("UPDATE endpoints SET deleted_at = now()");
    deliverer({ sweepIntervalMs: 20 });
    await waitFor(async () => (await states("end_test"))["failed"] === 2);
    expect(merchant.requests).toHaveLength(0);
  });
});
