import { Webhook } from "standardwebhooks";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { listDeliveries } from "../delivery/delivery-list-store.ts";
import { beginReplay } from "../delivery/replay-batches.ts";
import { orderReplay } from "../delivery/replay-store.ts";
import { systemClock } from "../runtime/clock.ts";
import { systemRandom } from "../runtime/random.ts";
import { insertDeliveries, insertEndpoint } from "../testing/callbacks.ts";
import { createDelivererRig, type DelivererRig, TEST_CALLBACKS } from "../testing/deliverer.ts";
import { MERCHANT_ID } from "../testing/factory.ts";
import { waitFor } from "../testing/wait-for.ts";

let rig: DelivererRig;
beforeAll(async () => {
  rig = await createDelivererRig();
});
afterAll(() => rig.drop());
beforeEach(() => rig.empty());
afterEach(() => rig.clear());

describe("a callback that is not taken", () => {
  it("G1: tries again as the schedule says, with the same id and body, and fails after the last", async () => {
    const merchant = await rig.sink();
    merchant.answer({ status: 503, body: "later" });
    const { secret } = await insertEndpoint(rig.database, merchant.url);
    await insertDeliveries(rig.database, ["end_test"]);
    const by = rig.deliverer();
    await waitFor(async () => {
      await by.drain();
      return (await rig.states("end_test"))["failed"] === 1;
    });

    expect(merchant.requests).toHaveLength(TEST_CALLBACKS.scheduleMs.length);
    expect(new Set(merchant.requests.map(({ headers }) => headers["webhook-id"])).size).toBe(1);
    expect(new Set(merchant.requests.map(({ body }) => body.toString())).size).toBe(1);
    for (const request of merchant.requests) {
      new Webhook(secret).verify(request.body.toString(), request.headers as Record<string, string>);
    }
    const { attempts } = await rig.onlyDelivery();
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
    const merchant = await rig.sink();
    merchant.answer({ status: 502 });
    await insertEndpoint(rig.database, merchant.url);
    await insertDeliveries(rig.database, ["end_test"]);
    const hours = 3_600_000;
    const scheduleMs = [0, 5_000, 300_000, 1_800_000, ...[2, 5, 10, 14, 20, 24].map((each) => each * hours)];
    const by = rig.deliverer({}, { scheduleMs });
    const waits: number[] = [];
    for (let attempt = 1; attempt <= 10; attempt++) {
      await by.drain();
      const { delivery, attempts } = await rig.onlyDelivery();
      expect(attempts).toHaveLength(attempt);
      waits.push((delivery.nextAttemptAt?.getTime() ?? 0) - systemClock.now());
      await rig.letTimePass();
    }
    for (const [index, wait] of waits.slice(0, 9).entries()) {
      const scheduled = scheduleMs[index + 1] ?? 0;
      expect(wait).toBeGreaterThan(scheduled * 0.8 - 3_000);
      expect(wait).toBeLessThanOrEqual(scheduled * 1.2);
    }
    const failed = await listDeliveries(rig.database, {
      merchantId: MERCHANT_ID,
      state: "failed",
      limit: 10,
    });
    expect(failed).toHaveLength(1);

    merchant.answer({ status: 204 });
    const since = new Date(systemClock.now() - hours);
    const wanted = { endpointId: "end_test", since, states: ["failed"] } as const;
    const { id } = await orderReplay(rig.database, systemRandom, wanted);
    await beginReplay(rig.database, id);
    await by.drain();
    expect(await rig.states("end_test")).toEqual({ delivered: 1 });
    expect(new Set(merchant.requests.map(({ headers }) => headers["webhook-id"])).size).toBe(1);
    expect(new Set(merchant.requests.map(({ body }) => body.toString())).size).toBe(1);
  });

  it("G1: delivers at last to an endpoint that was down", async () => {
    const merchant = await rig.sink();
    merchant.answer((_request, count) => ({ status: count < 2 ? 500 : 204 }));
    await insertEndpoint(rig.database, merchant.url);
    await insertDeliveries(rig.database, ["end_test"]);
    const by = rig.deliverer();
    await waitFor(async () => {
      await by.drain();
      return (await rig.states("end_test"))["delivered"] === 1;
    });
    expect(merchant.requests).toHaveLength(3);
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
      const merchant = await rig.sink({ tls: id === "end_tls" });
      merchant.answer(answer);
      await insertEndpoint(rig.database, merchant.url, id);
    }
    await insertDeliveries(rig.database, Object.keys(cases));
    await rig.deliverer({}, { timeoutMs: 300, scheduleMs: [0, 20_000] }).drain();

    const rows = await rig.database.query<{
      endpoint_id: string;
      state: string;
      error: string;
      wait: number;
    }>(
      `SELECT d.endpoint_id, d.state, a.error, extract(epoch FROM w.next_attempt_at - now())::integer AS wait
       FROM deliveries d JOIN delivery_attempts a ON a.delivery_id = d.id
       LEFT JOIN due_deliveries w ON w.delivery_id = d.id`,
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
    const merchant = await rig.sink();
    merchant.answer({ status: 200, trouble: "endless-body" });
    await insertEndpoint(rig.database, merchant.url);
    await insertDeliveries(rig.database, ["end_test"]);
    await rig.deliverer().drain();
    const { delivery, attempts } = await rig.onlyDelivery();
    expect(delivery.state).toBe("delivered");
    expect(attempts[0]?.responseBody).toBe("(not kept: longer than 65536 bytes)");
  });

  it("waits before the first attempt as the schedule says, and follows an endpoint's own schedule", async () => {
    const merchant = await rig.sink();
    merchant.answer({ status: 500 });
    await insertEndpoint(rig.database, merchant.url, "end_own");
    await rig.database.query("UPDATE endpoints SET schedule_ms = '{0,60000}' WHERE id = 'end_own'");
    await insertEndpoint(rig.database, merchant.url, "end_common");
    const by = rig.deliverer({ sweepIntervalMs: 20 }, { scheduleMs: [3_600_000, 10] });
    const firstDelay = async () => {
      const rows = await rig.database.query<{ ms: number }>(
        "SELECT first_delay_ms AS ms FROM endpoints ORDER BY id",
      );
      return rows.map(({ ms }) => ms);
    };
    await waitFor(async () => (await firstDelay())[0] === 3_600_000);
    expect(await firstDelay()).toEqual([3_600_000, 0]);
    await insertDeliveries(rig.database, ["end_own"]);
    await by.drain();
    const { attempts, delivery } = await rig.onlyDelivery();
    expect(attempts).toHaveLength(1);
    const inMs = (delivery.nextAttemptAt?.getTime() ?? 0) - systemClock.now();
    expect(inMs).toBeGreaterThan(40_000);
    expect(inMs).toBeLessThanOrEqual(72_000);
    await rig.letTimePass();
    await by.drain();
    expect((await rig.onlyDelivery()).delivery.state).toBe("failed");
  });

  it("tells when the next retry is due", async () => {
    const merchant = await rig.sink();
    merchant.answer({ status: 500 });
    await insertEndpoint(rig.database, merchant.url);
    await insertDeliveries(rig.database, ["end_test"]);
    const told: Date[] = [];
    const fixed = { ...systemRandom, fraction: () => 0.5 };
    await rig
      .deliverer({ onRetryAt: (time) => told.push(time), random: fixed }, { scheduleMs: [0, 30_000] })
      .drain();
    const inMs = (told.at(-1)?.getTime() ?? 0) - systemClock.now();
    expect(inMs).toBeGreaterThan(25_000);
    expect(inMs).toBeLessThanOrEqual(30_000);
  });
});
