import { Webhook } from "standardwebhooks";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { attemptDelivery } from "../delivery/attempt-delivery.ts";
import type { AttemptOutcome } from "../delivery/attempt-outcome.ts";
import { createRequestOpeners } from "../delivery/callback-request.ts";
import { claimDeliveries } from "../delivery/claim-store.ts";
import { countBacklog } from "../delivery/delivery-list-store.ts";
import { createEgress } from "../delivery/egress.ts";
import { systemClock } from "../runtime/clock.ts";
import { type Logger, silentLogger } from "../runtime/logger.ts";
import { insertDeliveries, insertEndpoint, testSecretBox } from "../testing/callbacks.ts";
import { createDelivererRig, type DelivererRig } from "../testing/deliverer.ts";
import { MERCHANT_ID } from "../testing/factory.ts";
import { waitFor } from "../testing/wait-for.ts";

let rig: DelivererRig;
beforeAll(async () => {
  rig = await createDelivererRig();
});
afterAll(() => rig.drop());
beforeEach(() => rig.empty());
afterEach(() => rig.clear());

describe("the deliverer", () => {
  it("G8: delivers every event to every endpoint once, and the stock package verifies each", async () => {
    const merchants = [await rig.sink(), await rig.sink()];
    const endpoints = [];
    for (const [index, merchant] of merchants.entries()) {
      endpoints.push(await insertEndpoint(rig.database, `${merchant.url}/hook`, `end_${index}`));
    }
    await insertDeliveries(rig.database, ["end_0", "end_1"], 300);
    await rig.deliverer().drain();

    const events = await rig.database.query<{ id: string; body: string }>("SELECT id, body FROM events");
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
    expect(await rig.states("end_0")).toEqual({ delivered: 300 });
  });

  it("G2: killed between send and mark, it is sent again with the same id and body", async () => {
    const merchant = await rig.sink();
    await insertEndpoint(rig.database, merchant.url);
    await insertDeliveries(rig.database, ["end_test"]);
    // All that a process does that dies after the answer and before its record.
    const { deliveries } = await claimDeliveries(rig.database, {
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
    const outcome = await new Promise<AttemptOutcome>((resolve) => {
      attemptDelivery(parts, claim, 1_000, resolve);
    });
    expect(outcome.error).toBe(null);
    await egress.destroy();

    const by = rig.deliverer();
    await by.drain();
    expect(merchant.requests).toHaveLength(1); // its claim still holds
    await rig.letTimePass();
    await by.drain();
    expect(merchant.requests).toHaveLength(2);
    const [first, second] = merchant.requests;
    expect(second?.headers["webhook-id"]).toBe(first?.headers["webhook-id"]);
    expect(second?.body).toEqual(first?.body);
    const { delivery, attempts } = await rig.onlyDelivery();
    expect(delivery.state).toBe("delivered");
    expect(attempts).toHaveLength(1);
  });

  it("G2: killed a hundred times while sending, it uses up none of the merchant's attempts", async () => {
    const merchant = await rig.sink();
    merchant.answer((_request, count) => ({ status: count === 0 ? 500 : 204 }));
    await insertEndpoint(rig.database, merchant.url);
    await insertDeliveries(rig.database, ["end_test"]);
    await rig.database.query(
      "UPDATE due_deliveries SET attempt = 100, claimed_until = now() - interval '1 second'",
    );
    const by = rig.deliverer();
    await waitFor(async () => {
      await by.drain();
      return (await rig.states("end_test"))["delivered"] === 1;
    });
  });

  it("H1: two deliverers share the work, each delivery once", async () => {
    const merchant = await rig.sink();
    await insertEndpoint(rig.database, merchant.url);
    await insertDeliveries(rig.database, ["end_test"], 500);
    await Promise.all([rig.deliverer().drain(), rig.deliverer().drain()]);
    await merchant.received(500);
    expect(merchant.requests).toHaveLength(500);
    expect(new Set(merchant.requests.map(({ headers }) => headers["webhook-id"])).size).toBe(500);
  });

  it("H3: carries on when its database connections are cut, and loses nothing", async () => {
    const merchant = await rig.sink();
    merchant.answer({ delayMs: 5 });
    await insertEndpoint(rig.database, merchant.url);
    await insertDeliveries(rig.database, ["end_test"], 300);
    rig.deliverer({ sweepIntervalMs: 50 });
    for (let cuts = 1; cuts <= 3; cuts++) {
      await merchant.received(cuts * 50);
      await rig.database.query(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()",
      );
    }
    await waitFor(async () => {
      await rig.letTimePass();
      return (await rig.states("end_test"))["delivered"] === 300;
    });
    expect(new Set(merchant.requests.map(({ headers }) => headers["webhook-id"])).size).toBe(300);
  });

  it("H6: finds by its sweep what no nudge told of", async () => {
    const merchant = await rig.sink();
    await insertEndpoint(rig.database, merchant.url);
    rig.deliverer({ sweepIntervalMs: 20 });
    await insertDeliveries(rig.database, ["end_test"]);
    await merchant.received(1);
  });

  it("delivers what is committed while it delivers, nudge or not lost", async () => {
    const merchant = await rig.sink();
    merchant.answer({ delayMs: 1 });
    await insertEndpoint(rig.database, merchant.url);
    const by = rig.deliverer();
    for (let n = 0; n < 50; n++) {
      await insertDeliveries(rig.database, ["end_test"], 2);
      by.nudge();
    }
    await merchant.received(100);
    await by.drain();
    expect(await rig.states("end_test")).toEqual({ delivered: 100 });
  });

  it("H10: stops within its grace: what ends in time is recorded, the rest handed back and attempted at once by the next", async () => {
    const merchant = await rig.sink();
    merchant.answer((_request, count) => (count === 0 ? { delayMs: 200 } : { trouble: "hang" }));
    await insertEndpoint(rig.database, merchant.url);
    await insertDeliveries(rig.database, ["end_test"], 2);
    const stopped = rig.deliverer({ shutdownGraceMs: 1_000 }, { timeoutMs: 60_000 });
    stopped.nudge();
    await merchant.received(2);
    const startedAt = systemClock.monotonic();
    await stopped.stop();
    expect(systemClock.monotonic() - startedAt).toBeLessThan(1_000);
    expect(await rig.states("end_test")).toEqual({ delivered: 1, due: 1 });

    merchant.answer({ status: 204 });
    stopped.nudge(); // stopped for good
    await rig.deliverer().drain();
    expect(await rig.states("end_test")).toEqual({ delivered: 2 });
    const [, cutOff, again] = merchant.requests;
    expect(again?.headers["webhook-id"]).toBe(cutOff?.headers["webhook-id"]);
    expect(again?.body).toEqual(cutOff?.body);
    expect(merchant.requests).toHaveLength(3);
  });

  it("writes one line for each attempt, without secret or token", async () => {
    const lines: { sentence: string; fields: Record<string, unknown> }[] = [];
    const keep = (sentence: string, fields = {}) => lines.push({ sentence, fields });
    const logger: Logger = {
      debug: keep,
      info: keep,
      warn: keep,
      error: keep,
      writes: () => true,
      with: () => logger,
    };
    const merchant = await rig.sink();
    merchant.answer((_request, count) => ({ status: count === 0 ? 500 : 204, body: "ok" }));
    const { secret } = await insertEndpoint(rig.database, `${merchant.url}/path-token?key=query-token`);
    await insertDeliveries(rig.database, ["end_test"]);
    const reports: string[] = [];
    const by = rig.deliverer({ logger, onAttempt: ({ decision }) => reports.push(decision) });
    await waitFor(async () => {
      await by.drain();
      return (await rig.states("end_test"))["delivered"] === 1;
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
    const merchant = await rig.sink();
    await insertEndpoint(rig.database, merchant.url);
    await insertDeliveries(rig.database, ["end_test"]);
    await rig.database.query("UPDATE endpoints SET secret = '\\x00'");
    await rig.deliverer().drain();
    expect(merchant.requests).toHaveLength(0);
    expect((await rig.onlyDelivery()).attempts).toEqual([]);
    expect(await countBacklog(rig.database)).toMatchObject({ waiting: 1 });
  });

  it("fails what is due to a deleted endpoint at its sweep", async () => {
    const merchant = await rig.sink();
    await insertEndpoint(rig.database, merchant.url);
    await insertDeliveries(rig.database, ["end_test"], 2);
    await rig.database.query("UPDATE endpoints SET deleted_at = now()");
    rig.deliverer({ sweepIntervalMs: 20 });
    await waitFor(async () => (await rig.states("end_test"))["failed"] === 2);
    expect(merchant.requests).toHaveLength(0);
  });
});
