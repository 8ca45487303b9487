import { createPublicKey, verify } from "node:crypto";
import { Webhook } from "standardwebhooks";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import type { EventType } from "../core/event.ts";
import { countBacklog } from "../delivery/delivery-list-store.ts";
import { resealSecrets, rotateSecret } from "../delivery/endpoint-secret-store.ts";
import { type EndpointChanges, getEndpoint, updateEndpoint } from "../delivery/endpoint-store.ts";
import { appendEvents, type DepositEvent } from "../outbox/event-store.ts";
import { systemRandom } from "../runtime/random.ts";
import { createSecretBox } from "../runtime/secret-box.ts";
import { insertDeliveries, insertEndpoint, testSecretBox } from "../testing/callbacks.ts";
import { createDelivererRig, type DelivererRig } from "../testing/deliverer.ts";
import { insertDepositRow } from "../testing/deposit-rows.ts";
import { hashOf, MERCHANT_ID, seedChain } from "../testing/factory.ts";
import type { Sink, SinkRequest } from "../testing/sink.ts";

let rig: DelivererRig;
beforeAll(async () => {
  rig = await createDelivererRig();
});
afterAll(() => rig.drop());
beforeEach(() => rig.empty());
afterEach(() => rig.clear());

function movedTo(type: EventType, sequence: number): DepositEvent {
  const body = JSON.stringify({
    type,
    timestamp: "2026-11-22T14:00:00.000Z",
    data: { id: "dep_a", sequence },
  });
  const place = { blockNumber: 7n, blockHash: hashOf("block") };
  return { merchantId: MERCHANT_ID, type, depositId: "dep_a", sequence, ...place, body };
}

describe("an endpoint", () => {
  it("G4: one endpoint that hangs, among a hundred: the others notice nothing", async () => {
    const hanging = await rig.sink();
    hanging.answer({ trouble: "hang" });
    const healthy = await rig.sink();
    const ids = Array.from({ length: 99 }, (_, n) => `end_${n}`);
    for (const id of ids) await insertEndpoint(rig.database, `${healthy.url}/${id}`, id);
    await insertEndpoint(rig.database, hanging.url, "end_0_hangs");
    await insertDeliveries(rig.database, ["end_0_hangs", ...ids], 8);

    // The attempt that hangs would end long after the test: who waited for it would be too late.
    rig.deliverer({}, { timeoutMs: 120_000, concurrency: 16 }).nudge();
    await healthy.received(99 * 8, 25_000);
    // Its share, and not one for each of its eight.
    expect(hanging.requests.length).toBeLessThanOrEqual(2);
  });

  it("G4: an endpoint that begins to hang in the middle of a flood does not hold up another", async () => {
    const flooded = await rig.sink();
    flooded.answer((_request, count) => (count < 200 ? {} : { trouble: "hang" }));
    const healthy = await rig.sink();
    await insertEndpoint(rig.database, flooded.url, "end_flooded");
    await insertEndpoint(rig.database, healthy.url, "end_healthy");
    await insertDeliveries(rig.database, ["end_flooded"], 1_000);
    const by = rig.deliverer({}, { timeoutMs: 60_000, concurrency: 16 });
    by.nudge();
    await flooded.received(205);
    await insertDeliveries(rig.database, ["end_healthy"], 100);
    by.nudge();
    await healthy.received(100);
    expect(flooded.requests.length).toBeLessThanOrEqual(208);
  });

  it("G4: leaves a dead endpoint alone after some failures, with all that waits for it, and delivers all when it is back", async () => {
    const merchant = await rig.sink();
    merchant.answer({ status: 503 });
    await insertEndpoint(rig.database, merchant.url);
    await insertDeliveries(rig.database, ["end_test"], 300);
    const by = rig.deliverer({}, { scheduleMs: [0, 3_600_000, 3_600_000] });
    await by.drain();
    expect(merchant.requests.length).toBeLessThanOrEqual(40);
    for (let probe = 0; probe < 3; probe++) {
      const before = merchant.requests.length;
      await rig.letTimePass();
      await by.drain();
      expect(merchant.requests.length - before).toBeLessThanOrEqual(4);
    }
    merchant.answer({ status: 204 });
    await rig.letTimePass();
    await by.drain();
    expect(await rig.states("end_test")).toEqual({ delivered: 300 });
  });

  it("G3: 410 disables the endpoint; what happens meanwhile is kept and sent when it is enabled again", async () => {
    const merchant = await rig.sink();
    merchant.answer({ status: 410 });
    await insertEndpoint(rig.database, merchant.url);
    await insertDeliveries(rig.database, ["end_test"]);
    const by = rig.deliverer();
    await by.drain();
    expect(await rig.database.query("SELECT status, disabled_reason FROM endpoints")).toEqual([
      { status: "disabled", disabled_reason: "gone" },
    ]);

    merchant.answer({ status: 204 });
    await insertDeliveries(rig.database, ["end_test"], 3);
    await rig.letTimePass();
    await by.drain();
    expect(merchant.requests).toHaveLength(1);
    expect(await countBacklog(rig.database)).toMatchObject({ held: 4, dueNow: 0 });

    await rig.database.query("UPDATE endpoints SET status = 'enabled', disabled_reason = NULL");
    await by.drain();
    expect(await rig.states("end_test")).toEqual({ delivered: 4 });
  });

  it("G5: that is disabled gets what happened meanwhile once it is enabled, or nothing of it where the merchant says so", async () => {
    const merchants = { end_wanting: await rig.sink(), end_skipping: await rig.sink() };
    const parts = { database: rig.database, secretBox: testSecretBox };
    const change = (id: string, changes: EndpointChanges) =>
      updateEndpoint(parts, MERCHANT_ID, id, changes, { allowPrivateTargets: true, firstDelayMs: 0 });
    const happen = (sequence: number) =>
      rig.database.transaction((tx) => appendEvents(tx, [movedTo("deposit.credited", sequence)]));
    for (const [id, { url }] of Object.entries(merchants)) {
      await insertEndpoint(rig.database, url, id);
      await change(id, { status: "disabled", events: ["deposit.credited"] });
    }
    await seedChain(rig.database);
    await insertDepositRow(rig.database, "dep_a");
    const by = rig.deliverer();
    for (const sequence of [1, 2, 3]) await happen(sequence);
    await by.drain();
    expect(Object.values(merchants).map(({ requests }) => requests.length)).toEqual([0, 0]);

    await change("end_wanting", { status: "enabled" });
    await change("end_skipping", { status: "enabled", keptEvents: "skip" });
    await by.drain();
    await happen(4);
    await by.drain();
    const told = ({ requests }: Sink) =>
      requests.map(({ body }) => JSON.parse(body.toString()).data.sequence);
    expect(told(merchants.end_wanting).sort()).toEqual([1, 2, 3, 4]);
    expect(told(merchants.end_skipping)).toEqual([4]);
    expect(await rig.states("end_skipping")).toEqual({ skipped: 3, delivered: 1 });
  });

  it("G1: disables an endpoint that failed for days, tells the merchant's others, and keeps what happens meanwhile", async () => {
    const [dead, other] = [await rig.sink(), await rig.sink()];
    dead.answer({ status: 500 });
    await insertEndpoint(rig.database, dead.url, "end_dead");
    await insertEndpoint(rig.database, other.url, "end_other");
    await rig.database.query("UPDATE endpoints SET events = '{endpoint.test,endpoint.disabled}'");
    await rig.database.query(
      `UPDATE endpoints SET failing_since = now() - interval '6 days', last_failed_at = now() - interval '1 hour'
       WHERE id = 'end_dead'`,
    );
    await insertDeliveries(rig.database, ["end_dead"]);
    const by = rig.deliverer();
    await by.drain();
    await other.received(1);
    const told = JSON.parse(other.requests[0]?.body.toString() ?? "{}");
    expect(told).toMatchObject({
      type: "endpoint.disabled",
      data: { endpointId: "end_dead", url: dead.url, reason: "failing" },
    });
    expect(new Date(told.data.failingSince).getTime()).toBeLessThan(Date.now() - 5 * 86_400_000);
    await insertDeliveries(rig.database, ["end_dead"], 2);
    await rig.letTimePass();
    await by.drain();
    expect(dead.requests).toHaveLength(1);
    expect(await rig.states("end_dead")).toEqual({ due: 3 });
    expect(await countBacklog(rig.database)).toMatchObject({ held: 3 });
  });

  it("G6: signs with both secrets during the overlap of a rotation, and with the new one alone after it", async () => {
    const merchant = await rig.sink();
    const { secret: before } = await insertEndpoint(rig.database, merchant.url);
    const rotate = (overlapMs: number) =>
      rotateSecret(
        { sql: rig.database, secretBox: testSecretBox, random: systemRandom },
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
    const by = rig.deliverer();
    const deliverOne = async () => {
      await insertDeliveries(rig.database, ["end_test"]);
      await by.drain();
      return merchant.requests.at(-1);
    };
    const after = await rotate(3_600_000);
    const during = await deliverOne();
    expect([isTaken(before, during), isTaken(after, during)]).toEqual([true, true]);
    await rig.database.query("UPDATE endpoints SET previous_until = now() - interval '1 second'");
    const over = await deliverOne();
    expect([isTaken(before, over), isTaken(after, over)]).toEqual([false, true]);
    const last = await rotate(0);
    const atOnce = await deliverOne();
    expect([isTaken(after, atOnce), isTaken(last, atOnce)]).toEqual([false, true]);
  });

  it("G6: is verified by the secret and by the public key while it changes from v1 to v1a", async () => {
    const merchant = await rig.sink();
    const { secret } = await insertEndpoint(rig.database, merchant.url);
    await rotateSecret(
      { sql: rig.database, secretBox: testSecretBox, random: systemRandom },
      { merchantId: MERCHANT_ID, id: "end_test", overlapMs: 3_600_000, scheme: "v1a" },
    );
    await insertDeliveries(rig.database, ["end_test"]);
    await rig.deliverer().drain();
    const [request] = merchant.requests;
    const body = request?.body.toString() ?? "";
    const headers = (request?.headers ?? {}) as Record<string, string>;
    new Webhook(secret).verify(body, headers);

    const { publicKey } = await getEndpoint(rig.database, MERCHANT_ID, "end_test");
    const x = Buffer.from(publicKey?.replace("whpk_", "") ?? "", "base64").toString("base64url");
    const key = createPublicKey({ key: { kty: "OKP", crv: "Ed25519", x }, format: "jwk" });
    const [, signature = ""] = /v1a,(\S+)/.exec(headers["webhook-signature"] ?? "") ?? [];
    const signed = Buffer.from(`${headers["webhook-id"]}.${headers["webhook-timestamp"]}.${body}`);
    expect(verify(null, signed, key, Buffer.from(signature, "base64"))).toBe(true);
  });

  it("G6: signs on across a rotation of the key that secrets are sealed under, resealed or not", async () => {
    const merchant = await rig.sink();
    const { secret } = await insertEndpoint(rig.database, merchant.url);
    const newKey = systemRandom.bytes(32);
    const both = createSecretBox(newKey, systemRandom, [Buffer.alloc(32, 7)]);
    await insertDeliveries(rig.database, ["end_test"]);
    await rig.deliverer({ secretBox: both }).drain();
    expect(await resealSecrets(rig.database, both, () => undefined)).toBe(1);
    expect(await resealSecrets(rig.database, both, () => undefined)).toBe(0);
    await insertDeliveries(rig.database, ["end_test"]);
    await rig.deliverer({ secretBox: createSecretBox(newKey, systemRandom) }).drain();
    expect(merchant.requests).toHaveLength(2);
    for (const { body, headers } of merchant.requests)
      new Webhook(secret).verify(body.toString(), headers as Record<string, string>);
  });

  it("sends the headers that the merchant wants, and never in place of its own", async () => {
    const merchant = await rig.sink();
    await insertEndpoint(rig.database, merchant.url);
    const headers = { authorization: "Bearer gateway", "content-type": "text/plain" };
    await rig.database.query(
      "UPDATE endpoints SET headers = $1, header_names = '{authorization,content-type}'",
      [testSecretBox.seal(Buffer.from(JSON.stringify(headers)))],
    );
    await insertDeliveries(rig.database, ["end_test"]);
    await rig.deliverer().drain();
    expect(merchant.requests[0]?.headers).toMatchObject({
      authorization: "Bearer gateway",
      "content-type": "application/json",
    });
  });

  it("G7: never connects to private targets unless they are allowed", async () => {
    const internal = await rig.sink({ tls: true });
    await insertEndpoint(rig.database, `${internal.url}/admin`, "end_literal");
    await insertEndpoint(rig.database, `https://localhost:${internal.port}/admin`, "end_name");
    await insertDeliveries(rig.database, ["end_literal", "end_name"]);
    await rig.deliverer({}, { allowPrivateTargets: false, scheduleMs: [0, 60_000] }).drain();
    const rows = await rig.database.query(
      "SELECT d.endpoint_id, a.error FROM deliveries d JOIN delivery_attempts a ON a.delivery_id = d.id ORDER BY 1",
    );
    expect(rows).toEqual([
      { endpoint_id: "end_literal", error: "invalid_url" },
      { endpoint_id: "end_name", error: "blocked_address" },
    ]);
    expect(internal.connectionCount()).toBe(0);
  });
});
