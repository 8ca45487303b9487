import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { endDueDeliveries, insertDeliveries } from "../testing/callbacks.ts";
import { type ClaimRig, createClaimRig, only, perEndpoint } from "../testing/claims.ts";
import { MERCHANT_ID } from "../testing/factory.ts";
import { CLAIM, type ClaimedDelivery, claimDeliveries, releaseClaims } from "./claim-store.ts";
import { NEXT_ATTEMPT, nextAttemptInMs } from "./delivery-store.ts";

let rig: ClaimRig;
beforeAll(async () => {
  rig = await createClaimRig();
});
afterAll(() => rig.drop());
beforeEach(() => rig.empty());

describe("claimDeliveries", () => {
  it("gives out a due delivery once, with everything an attempt needs", async () => {
    await rig.insertEndpoints("end_a");
    await insertDeliveries(rig.database, ["end_a"]);
    const claimed = only(await rig.claim());
    expect(claimed).toMatchObject({
      attempt: 1,
      failedBefore: 0,
      endpointId: "end_a",
      merchantId: MERCHANT_ID,
      url: "https://end_a.example/",
      eventType: "endpoint.test",
    });
    expect(JSON.parse(claimed.body)).toMatchObject({ type: "endpoint.test" });
    expect(claimed.eventAgeMs).toBeGreaterThanOrEqual(0);
    expect(await rig.claim()).toEqual([]);
  });

  it("G2: a claim whose outcome was never recorded is given out again: same event, same body, next attempt", async () => {
    await rig.insertEndpoints("end_a");
    await insertDeliveries(rig.database, ["end_a"]);
    const first = only(await rig.claim());
    await rig.expireClaims();
    const again = only(await rig.claim());
    expect(again).toMatchObject({
      deliveryId: first.deliveryId,
      eventId: first.eventId,
      body: first.body,
      attempt: 2,
    });
    // Cut off, not failed: its place in the schedule is what it was.
    expect(again.failedBefore).toBe(0);
  });

  it("leaves alone what is not due yet, delivered, or of a disabled or deleted endpoint", async () => {
    await rig.insertEndpoints("end_later", "end_done", "end_off", "end_deleted");
    await insertDeliveries(rig.database, ["end_done"]);
    await endDueDeliveries(rig.database, "delivered");
    await insertDeliveries(rig.database, ["end_later", "end_off", "end_deleted"]);
    await rig.database.query(
      "UPDATE due_deliveries SET next_attempt_at = now() + interval '1 minute' WHERE endpoint_id = 'end_later'",
    );
    await rig.database.query("UPDATE endpoints SET status = 'disabled' WHERE id = 'end_off'");
    await rig.database.query("UPDATE endpoints SET deleted_at = now() WHERE id = 'end_deleted'");
    expect(await rig.claim()).toEqual([]);

    // G5: what a disabled endpoint missed is kept, and comes when it is enabled.
    await rig.database.query("UPDATE endpoints SET status = 'enabled' WHERE id = 'end_off'");
    expect(only(await rig.claim()).endpointId).toBe("end_off");
  });

  it("G4: shares a claim evenly, so that a flood to one endpoint does not hide the one row of another", async () => {
    await rig.insertEndpoints("end_a_flood", "end_b", "end_c_flood", "end_d");
    await insertDeliveries(rig.database, ["end_a_flood", "end_c_flood"], 500);
    await insertDeliveries(rig.database, ["end_b", "end_d"]);
    expect(perEndpoint(await rig.claim({ limit: 40 }))).toEqual({
      end_a_flood: 10,
      end_b: 1,
      end_c_flood: 10,
      end_d: 1,
    });
  });

  it("gives all of a claim to one endpoint when the others wait for their retry", async () => {
    await rig.insertEndpoints("end_busy", ...Array.from({ length: 30 }, (_, n) => `end_down${n}`));
    await insertDeliveries(
      rig.database,
      Array.from({ length: 30 }, (_, n) => `end_down${n}`),
      2,
    );
    await rig.database.query("UPDATE due_deliveries SET next_attempt_at = now() + interval '1 hour'");
    await insertDeliveries(rig.database, ["end_busy"], 50);
    expect(perEndpoint(await rig.claim({ limit: 40 }))).toEqual({ end_busy: 40 });
  });

  it("takes no more of an endpoint than there is room for", async () => {
    await rig.insertEndpoints("end_a", "end_b", "end_c");
    await insertDeliveries(rig.database, ["end_a", "end_b", "end_c"], 20);
    const freeByEndpoint = new Map([
      ["end_a", 0],
      ["end_b", 3],
    ]);
    expect(perEndpoint(await rig.claim({ limit: 60, perEndpoint: 5, freeByEndpoint }))).toEqual({
      end_b: 3,
      end_c: 5,
    });
  });

  it("takes half of an endpoint's share from what is due longest, half from what became due last", async () => {
    await rig.insertEndpoints("end_a");
    await insertDeliveries(rig.database, ["end_a"], 9);
    const aged = await rig.database.query<{ id: string }>(
      `UPDATE due_deliveries d SET next_attempt_at = now() - n * interval '1 minute'
       FROM (SELECT delivery_id AS id, row_number() OVER (ORDER BY delivery_id) AS n FROM due_deliveries) o
       WHERE d.delivery_id = o.id RETURNING o.id`,
    );
    const newestFirst = aged.map(({ id }) => id).sort();
    const [newest, ...others] = newestFirst;
    const claimed = async (limit: number) =>
      (await rig.claim({ limit })).map(({ deliveryId }) => deliveryId).sort();
    expect(await claimed(1)).toEqual(others.slice(-1));
    expect(await claimed(3)).toEqual([newest, ...others.slice(-3, -1)].sort());
    expect(await claimed(100)).toEqual(others.slice(0, -3));
  });

  it("G4: reads no more for a fresh delivery behind a backlog of a hundred thousand, its endpoint's or others'", async () => {
    await rig.insertEndpoints("end_backlog", "end_disabled", "end_fresh", "end_parked", "end_waiting");
    await rig.database.query(
      "UPDATE endpoints SET status = 'disabled', disabled_reason = 'by_merchant' WHERE id IN ('end_disabled', 'end_parked')",
    );
    // Written as they stand: what an update leaves behind in the indexes is vacuum's work, not the plan's.
    await rig.database.query(
      `WITH event AS (
         INSERT INTO events (merchant_id, type, body) SELECT $1, 'endpoint.test', '{}' FROM generate_series(1, 25000)
         RETURNING id
       )
       INSERT INTO deliveries (event_id, endpoint_id, first_attempt_at)
       SELECT event.id, endpoint, now() + seconds * (1 + random() * 36) * interval '1 second'
       FROM event, (VALUES ('end_backlog', -100), ('end_disabled', -100), ('end_parked', 600), ('end_waiting', 1000))
         AS backlog(endpoint, seconds)`,
      [MERCHANT_ID],
    );
    await rig.database.query("ANALYZE deliveries, due_deliveries, endpoints, events");
    await insertDeliveries(rig.database, ["end_fresh", "end_backlog"]);

    const readPages = async (statement: string, values: readonly unknown[]) => {
      const [row] = await rig.database.query<{ "QUERY PLAN": [{ Plan: Record<string, number> }] }>(
        `EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) ${statement}`,
        values,
      );
      const plan = row?.["QUERY PLAN"][0].Plan ?? {};
      return (plan["Shared Hit Blocks"] ?? 0) + (plan["Shared Read Blocks"] ?? 0);
    };
    // 34 rows are claimed, with some 30 pages each: their own, their index entries' and their events'.
    expect(await readPages(CLAIM, ["", 128, 2, ["end_backlog"], [32], 60_000])).toBeLessThan(2_000);
    expect(await readPages(NEXT_ATTEMPT, [])).toBeLessThan(200);
    expect(await nextAttemptInMs(rig.database)).toBeGreaterThan(900_000);
    await rig.expireClaims();
    const claimed = await rig.claim({
      limit: 128,
      perEndpoint: 2,
      freeByEndpoint: new Map([["end_backlog", 32]]),
    });
    const [fresh] = await rig.database.query<{ id: string }>(
      "SELECT delivery_id AS id FROM due_deliveries WHERE endpoint_id = 'end_backlog' ORDER BY next_attempt_at DESC LIMIT 1",
    );
    expect(perEndpoint(claimed)).toEqual({ end_backlog: 32, end_fresh: 1 });
    expect(claimed.map(({ deliveryId }) => deliveryId)).toContain(fresh?.id);
  }, 120_000);

  it("begins anew at the first endpoint after a claim that was full, but left nobody out", async () => {
    await rig.insertEndpoints("end_a", "end_b");
    await insertDeliveries(rig.database, ["end_a", "end_b"], 30);
    const next = async (limit: number) => {
      const given = { limit, perEndpoint: 5, freeByEndpoint: new Map(), leaseMs: 60_000, after: "" };
      return (await claimDeliveries(rig.database, given)).next;
    };
    expect(await next(10)).toBeNull();
    expect(await next(1)).toBe("end_a");
  });

  it("G4: goes round: with more endpoints than a claim takes, each has its turn before any has two", async () => {
    const ids = Array.from({ length: 25 }, (_, n) => `end_${String(n).padStart(2, "0")}`);
    await rig.insertEndpoints(...ids);
    await insertDeliveries(rig.database, ids, 3);
    const turns: string[] = [];
    for (let after: string | null = ""; after !== null; ) {
      const claims = await claimDeliveries(rig.database, {
        limit: 10,
        perEndpoint: 100,
        freeByEndpoint: new Map(),
        leaseMs: 60_000,
        after,
      });
      turns.push(...claims.deliveries.map(({ endpointId }) => endpointId));
      after = claims.next;
    }
    expect([...new Set(turns)]).toEqual(ids);
    expect(turns.slice(0, 20)).toEqual(ids.slice(0, 20));
  });

  it("finds the one due row behind thousands of endpoints that wait", async () => {
    await rig.insertEndpoints("end_z");
    await rig.database.query(
      `INSERT INTO endpoints (id, merchant_id, url, events, secret)
       SELECT 'end_' || n, $1, 'https://x.example/', '{endpoint.test}', '' FROM generate_series(1000, 3000) n`,
      [MERCHANT_ID],
    );
    await insertDeliveries(
      rig.database,
      Array.from({ length: 2_001 }, (_, n) => `end_${1000 + n}`),
    );
    await rig.database.query("UPDATE due_deliveries SET next_attempt_at = now() + interval '1 hour'");
    await insertDeliveries(rig.database, ["end_z"]);
    const found: ClaimedDelivery[] = [];
    let rounds = 0;
    for (let after: string | null = ""; after !== null; rounds++) {
      const claims = await claimDeliveries(rig.database, {
        limit: 10,
        perEndpoint: 10,
        freeByEndpoint: new Map(),
        leaseMs: 60_000,
        after,
      });
      found.push(...claims.deliveries);
      after = claims.next;
    }
    expect(only(found).endpointId).toBe("end_z");
    expect(rounds).toBeLessThanOrEqual(6);
  });

  it("H1: gives each delivery to one of many deliverers that claim at once", async () => {
    await rig.insertEndpoints("end_a", "end_b");
    await insertDeliveries(rig.database, ["end_a", "end_b"], 200);
    const claims = await Promise.all(Array.from({ length: 8 }, () => rig.claim({ limit: 50 })));
    const ids = claims.flat().map(({ deliveryId }) => deliveryId);
    expect(new Set(ids).size).toBe(ids.length);
    expect(ids.length).toBeGreaterThan(200);
  });
});

describe("releaseClaims", () => {
  it("H10: hands a claim back at once, without giving its number out again", async () => {
    await rig.insertEndpoints("end_a");
    await insertDeliveries(rig.database, ["end_a"]);
    const first = only(await rig.claim());
    await releaseClaims(rig.database, [{ ...first, waitMs: 0 }]);
    expect(only(await rig.claim())).toMatchObject({
      deliveryId: first.deliveryId,
      attempt: 2,
      failedBefore: 0,
    });
    // Handed back already: the late hand-back of the first changes nothing for who holds it now.
    await releaseClaims(rig.database, [{ ...first, waitMs: 0 }]);
    expect(await rig.claim()).toEqual([]);
  });

  it("puts off what this machine could not try", async () => {
    await rig.insertEndpoints("end_a");
    await insertDeliveries(rig.database, ["end_a"]);
    const claimed = only(await rig.claim());
    await releaseClaims(rig.database, [{ ...claimed, waitMs: 10_000 }]);
    expect(await rig.claim()).toEqual([]);
    expect(await nextAttemptInMs(rig.database)).toBeGreaterThan(5_000);
  });
});
