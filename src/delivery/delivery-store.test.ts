import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { endDueDeliveries, insertDeliveries, insertEndpoint } from "../testing/callbacks.ts";
import { createTestDatabase, type TestDatabase } from "../testing/database.ts";
import { MERCHANT_ID } from "../testing/factory.ts";
import { type AttemptOutcome, NO_PHASES } from "./attempt-outcome.ts";
import {
  CLAIM,
  type ClaimedDelivery,
  type ClaimRequest,
  claimDeliveries,
  releaseClaims,
} from "./claim-store.ts";
import { countBacklog, getDelivery, listDeliveries } from "./delivery-list-store.ts";
import { failDeliveriesOfDeletedEndpoints, NEXT_ATTEMPT, nextAttemptInMs } from "./delivery-store.ts";
import { type RecordedAttempt, recordOutcomes } from "./outcome-store.ts";

let test: TestDatabase;
beforeAll(async () => {
  test = await createTestDatabase();
});
afterAll(() => test.drop());
beforeEach(() =>
  test.database.query("TRUNCATE delivery_attempts, due_deliveries, deliveries, events, replays, endpoints"),
);

const record = (attempts: readonly RecordedAttempt[], disableAfterMs = 5 * 86_400_000) =>
  recordOutcomes(test.database, attempts, { disableAfterMs, fraction: 0.5 });

async function claim(request: Partial<ClaimRequest> = {}): Promise<ClaimedDelivery[]> {
  const given = {
    limit: 100,
    perEndpoint: 100,
    freeByEndpoint: new Map(),
    leaseMs: 60_000,
    after: "",
    ...request,
  };
  return [...(await claimDeliveries(test.database, given)).deliveries];
}

const OK: AttemptOutcome = {
  httpStatus: 204,
  error: null,
  errorCode: null,
  durationMs: 5,
  phases: NO_PHASES,
  responseBody: "",
  retryAfterMs: null,
};
const BROKEN: AttemptOutcome = { ...OK, httpStatus: 500, error: "status", responseBody: "no" };
const GONE: AttemptOutcome = { ...BROKEN, httpStatus: 410 };

function delivered(claimed: ClaimedDelivery): RecordedAttempt {
  return {
    claim: claimed,
    outcome: OK,
    decision: { next: "delivered" },
    disablesEndpoint: false,
    pauseMs: null,
    startedMsAgo: 5,
  };
}

function retried(claimed: ClaimedDelivery, waitMs: number): RecordedAttempt {
  return { ...delivered(claimed), outcome: BROKEN, decision: { next: "retry", waitMs } };
}

function only<Item>(items: readonly Item[]): Item {
  const [item] = items;
  if (item === undefined || items.length !== 1) throw new Error(`expected one item, got ${items.length}`);
  return item;
}

function perEndpoint(claims: readonly ClaimedDelivery[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const { endpointId } of claims) counts[endpointId] = (counts[endpointId] ?? 0) + 1;
  return counts;
}

async function insertEndpoints(...ids: string[]): Promise<void> {
  for (const id of ids) await insertEndpoint(test.database, `https://${id}.example/`, id);
}

/** As if the time between now and the lease's end had passed. */
async function expireClaims(): Promise<void> {
  await test.database.query(
    "UPDATE due_deliveries SET claimed_until = now() - interval '1 second' WHERE claimed_until IS NOT NULL",
  );
}

describe("claimDeliveries", () => {
  it("gives out a due delivery once, with everything an attempt needs", async () => {
    await insertEndpoints("end_a");
    await insertDeliveries(test.database, ["end_a"]);
    const claimed = only(await claim());
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
    expect(await claim()).toEqual([]);
  });

  it("G2: a claim whose outcome was never recorded is given out again: same event, same body, next attempt", async () => {
    await insertEndpoints("end_a");
    await insertDeliveries(test.database, ["end_a"]);
    const first = only(await claim());
    await expireClaims();
    const again = only(await claim());
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
    await insertEndpoints("end_later", "end_done", "end_off", "end_deleted");
    await insertDeliveries(test.database, ["end_done"]);
    await endDueDeliveries(test.database, "delivered");
    await insertDeliveries(test.database, ["end_later", "end_off", "end_deleted"]);
    await test.database.query(
      "UPDATE due_deliveries SET next_attempt_at = now() + interval '1 minute' WHERE endpoint_id = 'end_later'",
    );
    await test.database.query("UPDATE endpoints SET status = 'disabled' WHERE id = 'end_off'");
    await test.database.query("UPDATE endpoints SET deleted_at = now() WHERE id = 'end_deleted'");
    expect(await claim()).toEqual([]);

    // G5: what a disabled endpoint missed is kept, and comes when it is enabled.
    await test.database.query("UPDATE endpoints SET status = 'enabled' WHERE id = 'end_off'");
    expect(only(await claim()).endpointId).toBe("end_off");
  });

  it("G4: shares a claim evenly, so that a flood to one endpoint does not hide the one row of another", async () => {
    await insertEndpoints("end_a_flood", "end_b", "end_c_flood", "end_d");
    await insertDeliveries(test.database, ["end_a_flood", "end_c_flood"], 500);
    await insertDeliveries(test.database, ["end_b", "end_d"]);
    expect(perEndpoint(await claim({ limit: 40 }))).toEqual({
      end_a_flood: 10,
      end_b: 1,
      end_c_flood: 10,
      end_d: 1,
    });
  });

  it("gives all of a claim to one endpoint when the others wait for their retry", async () => {
    await insertEndpoints("end_busy", ...Array.from({ length: 30 }, (_, n) => `end_down${n}`));
    await insertDeliveries(
      test.database,
      Array.from({ length: 30 }, (_, n) => `end_down${n}`),
      2,
    );
    await test.database.query("UPDATE due_deliveries SET next_attempt_at = now() + interval '1 hour'");
    await insertDeliveries(test.database, ["end_busy"], 50);
    expect(perEndpoint(await claim({ limit: 40 }))).toEqual({ end_busy: 40 });
  });

  it("takes no more of an endpoint than there is room for", async () => {
    await insertEndpoints("end_a", "end_b", "end_c");
    await insertDeliveries(test.database, ["end_a", "end_b", "end_c"], 20);
    const freeByEndpoint = new Map([
      ["end_a", 0],
      ["end_b", 3],
    ]);
    expect(perEndpoint(await claim({ limit: 60, perEndpoint: 5, freeByEndpoint }))).toEqual({
      end_b: 3,
      end_c: 5,
    });
  });

  it("takes half of an endpoint's share from what is due longest, half from what became due last", async () => {
    await insertEndpoints("end_a");
    await insertDeliveries(test.database, ["end_a"], 9);
    const aged = await test.database.query<{ id: string }>(
      `UPDATE due_deliveries d SET next_attempt_at = now() - n * interval '1 minute'
       FROM (SELECT delivery_id AS id, row_number() OVER (ORDER BY delivery_id) AS n FROM due_deliveries) o
       WHERE d.delivery_id = o.id RETURNING o.id`,
    );
    const newestFirst = aged.map(({ id }) => id).sort();
    const [newest, ...others] = newestFirst;
    const claimed = async (limit: number) =>
      (await claim({ limit })).map(({ deliveryId }) => deliveryId).sort();
    expect(await claimed(1)).toEqual(others.slice(-1));
    expect(await claimed(3)).toEqual([newest, ...others.slice(-3, -1)].sort());
    expect(await claimed(100)).toEqual(others.slice(0, -3));
  });

  it("G4: reads no more for a fresh delivery behind a backlog of a hundred thousand, its endpoint's or others'", async () => {
    await insertEndpoints("end_backlog", "end_disabled", "end_fresh", "end_parked", "end_waiting");
    await test.database.query(
      "UPDATE endpoints SET status = 'disabled', disabled_reason = 'by_merchant' WHERE id IN ('end_disabled', 'end_parked')",
    );
    // Written as they stand: what an update leaves behind in the indexes is vacuum's work, not the plan's.
    await test.database.query(
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
    await test.database.query("ANALYZE deliveries, due_deliveries, endpoints, events");
    await insertDeliveries(test.database, ["end_fresh", "end_backlog"]);

    const readPages = async (statement: string, values: readonly unknown[]) => {
      const [row] = await test.database.query<{ "QUERY PLAN": [{ Plan: Record<string, number> }] }>(
        `EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) ${statement}`,
        values,
      );
      const plan = row?.["QUERY PLAN"][0].Plan ?? {};
      return (plan["Shared Hit Blocks"] ?? 0) + (plan["Shared Read Blocks"] ?? 0);
    };
    // 34 rows are claimed, with some 30 pages each: their own, their index entries' and their events'.
    expect(await readPages(CLAIM, ["", 128, 2, ["end_backlog"], [32], 60_000])).toBeLessThan(2_000);
    expect(await readPages(NEXT_ATTEMPT, [])).toBeLessThan(200);
    expect(await nextAttemptInMs(test.database)).toBeGreaterThan(900_000);
    await expireClaims();
    const claimed = await claim({
      limit: 128,
      perEndpoint: 2,
      freeByEndpoint: new Map([["end_backlog", 32]]),
    });
    const [fresh] = await test.database.query<{ id: string }>(
      "SELECT delivery_id AS id FROM due_deliveries WHERE endpoint_id = 'end_backlog' ORDER BY next_attempt_at DESC LIMIT 1",
    );
    expect(perEndpoint(claimed)).toEqual({ end_backlog: 32, end_fresh: 1 });
    expect(claimed.map(({ deliveryId }) => deliveryId)).toContain(fresh?.id);
  }, 120_000);

  it("begins anew at the first endpoint after a claim that was full, but left nobody out", async () => {
    await insertEndpoints("end_a", "end_b");
    await insertDeliveries(test.database, ["end_a", "end_b"], 30);
    const next = async (limit: number) => {
      const given = { limit, perEndpoint: 5, freeByEndpoint: new Map(), leaseMs: 60_000, after: "" };
      return (await claimDeliveries(test.database, given)).next;
    };
    expect(await next(10)).toBeNull();
    expect(await next(1)).toBe("end_a");
  });

  it("G4: goes round: with more endpoints than a claim takes, each has its turn before any has two", async () => {
    const ids = Array.from({ length: 25 }, (_, n) => `end_${String(n).padStart(2, "0")}`);
    await insertEndpoints(...ids);
    await insertDeliveries(test.database, ids, 3);
    const turns: string[] = [];
    for (let after: string | null = ""; after !== null; ) {
      const claims = await claimDeliveries(test.database, {
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
    await insertEndpoints("end_z");
    await test.database.query(
      `INSERT INTO endpoints (id, merchant_id, url, events, secret)
       SELECT 'end_' || n, $1, 'https://x.example/', '{endpoint.test}', '' FROM generate_series(1000, 3000) n`,
      [MERCHANT_ID],
    );
    await insertDeliveries(
      test.database,
      Array.from({ length: 2_001 }, (_, n) => `end_${1000 + n}`),
    );
    await test.database.query("UPDATE due_deliveries SET next_attempt_at = now() + interval '1 hour'");
    await insertDeliveries(test.database, ["end_z"]);
    const found: ClaimedDelivery[] = [];
    let rounds = 0;
    for (let after: string | null = ""; after !== null; rounds++) {
      const claims = await claimDeliveries(test.database, {
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
    await insertEndpoints("end_a", "end_b");
    await insertDeliveries(test.database, ["end_a", "end_b"], 200);
    const claims = await Promise.all(Array.from({ length: 8 }, () => claim({ limit: 50 })));
    const ids = claims.flat().map(({ deliveryId }) => deliveryId);
    expect(new Set(ids).size).toBe(ids.length);
    expect(ids.length).toBeGreaterThan(200);
  });
});

describe("recordOutcomes", () => {
  it("ends what was delivered and logs the attempt", async () => {
    await insertEndpoints("end_a");
    await insertDeliveries(test.database, ["end_a"], 3);
    const claims = await claim();
    const result = await record(claims.map(delivered));
    expect(result.deliveryIds).toEqual(new Set(claims.map(({ deliveryId }) => deliveryId)));
    expect(result.disabled).toEqual([]);
    const [first] = claims;
    const { delivery, attempts } = await getDelivery(test.database, MERCHANT_ID, first?.deliveryId ?? "");
    expect(delivery).toMatchObject({ state: "delivered", nextAttemptAt: null });
    expect(delivery.finishedAt).toBeInstanceOf(Date);
    expect(only(attempts)).toMatchObject({
      attempt: 1,
      durationMs: 5,
      httpStatus: 204,
      error: null,
      responseBody: "",
    });
    await expireClaims();
    expect(await claim()).toEqual([]);
  });

  it("G1: puts off what is to be tried again, and counts the failed attempt", async () => {
    await insertEndpoints("end_a");
    await insertDeliveries(test.database, ["end_a"]);
    await record([retried(only(await claim()), 60_000)]);
    expect(await claim()).toEqual([]);
    const inMs = await nextAttemptInMs(test.database);
    expect(inMs).toBeGreaterThan(55_000);
    expect(inMs).toBeLessThanOrEqual(60_000);
    await test.database.query("UPDATE due_deliveries SET next_attempt_at = now()");
    expect(only(await claim())).toMatchObject({ attempt: 2, failedBefore: 1 });
  });

  it("G1: keeps what failed for good, and lists it", async () => {
    await insertEndpoints("end_a");
    await insertDeliveries(test.database, ["end_a"], 2);
    const [first, second] = await claim();
    if (first === undefined || second === undefined) throw new Error("nothing claimed");
    await record([{ ...retried(first, 0), decision: { next: "failed" } }, delivered(second)]);
    const failed = await listDeliveries(test.database, {
      merchantId: MERCHANT_ID,
      state: "failed",
      limit: 10,
    });
    expect(only(failed)).toMatchObject({ id: first.deliveryId, state: "failed", nextAttemptAt: null });
    expect(await listDeliveries(test.database, { merchantId: "mer_other", limit: 10 })).toEqual([]);
  });

  it("H7: refuses the outcome of an attempt whose claim ran out and was taken by another", async () => {
    await insertEndpoints("end_a");
    await insertDeliveries(test.database, ["end_a"]);
    const frozen = only(await claim());
    await expireClaims();
    const taken = only(await claim());
    expect((await record([{ ...delivered(frozen), decision: { next: "failed" } }])).deliveryIds.size).toBe(0);
    expect((await record([delivered(taken)])).deliveryIds.size).toBe(1);
    expect((await record([delivered(taken)])).deliveryIds.size).toBe(0);
    const { delivery, attempts } = await getDelivery(test.database, MERCHANT_ID, taken.deliveryId);
    expect(delivery.state).toBe("delivered");
    expect(attempts).toHaveLength(1);
  });

  it("G3: disables an endpoint that is gone, and keeps what is due to it", async () => {
    await insertEndpoints("end_a", "end_b");
    await insertDeliveries(test.database, ["end_a", "end_b"], 2);
    const claims = await claim({ limit: 2 });
    const outcomes = claims.map((each) =>
      each.endpointId === "end_a"
        ? { ...retried(each, 0), outcome: GONE, disablesEndpoint: true }
        : delivered(each),
    );
    expect((await record(outcomes)).disabled).toMatchObject([{ id: "end_a", reason: "gone" }]);
    const [row] = await test.database.query(
      "SELECT status, disabled_reason FROM endpoints WHERE id = 'end_a'",
    );
    expect(row).toEqual({ status: "disabled", disabled_reason: "gone" });
    expect(perEndpoint(await claim())).toEqual({ end_b: 1 });
    expect(await countBacklog(test.database)).toMatchObject({ held: 2 });
  });

  it("does not disable an endpoint for a 410 from the URL it had before", async () => {
    await insertEndpoints("end_a");
    await insertDeliveries(test.database, ["end_a"]);
    const claimed = only(await claim());
    await test.database.query("UPDATE endpoints SET url = 'https://moved.example/' WHERE id = 'end_a'");
    const recorded = await record([{ ...retried(claimed, 0), outcome: GONE, disablesEndpoint: true }]);
    expect(recorded).toEqual({
      deliveryIds: new Set([claimed.deliveryId]),
      disabled: [],
      pausedEndpointIds: [],
    });
  });
});

describe("the breaker", () => {
  const endpoint = async () => {
    const [row] = await test.database.query<{
      failures: number;
      pauses: number;
      paused_s: number | null;
      failing: boolean;
      status: string;
      disabled_reason: string | null;
    }>(
      `SELECT failures, pauses, extract(epoch FROM paused_until - now())::double precision AS paused_s,
         failing_since IS NOT NULL AS failing, status, disabled_reason FROM endpoints WHERE id = 'end_a'`,
    );
    return row;
  };
  const endPause = () =>
    test.database.query("UPDATE endpoints SET paused_until = now() - interval '1 second'");
  const failed = (claimed: ClaimedDelivery) => retried(claimed, 60_000);

  it("G4: opens after five failures in a row, for 5, 10, 20, 40, 60, 60 seconds", async () => {
    await insertEndpoints("end_a");
    await insertDeliveries(test.database, ["end_a"], 40);
    await record((await claim({ limit: 4 })).map(failed));
    expect(await endpoint()).toMatchObject({ failures: 4, pauses: 0, paused_s: null, failing: true });
    const pauses: number[] = [];
    for (let opened = 1; opened <= 6; opened++) {
      const { pausedEndpointIds } = await record((await claim({ limit: 1 })).map(failed));
      expect(pausedEndpointIds).toEqual(["end_a"]);
      pauses.push(Math.round((await endpoint())?.paused_s ?? 0));
      expect(await claim()).toEqual([]);
      await endPause();
    }
    expect(pauses).toEqual([5, 10, 20, 40, 60, 60]);
  });

  it("G4: lets one through when a pause is over, and all after a success", async () => {
    await insertEndpoints("end_a");
    await insertDeliveries(test.database, ["end_a"], 40);
    await record((await claim({ limit: 5 })).map(failed));
    await endPause();
    const probe = only(await claim());
    expect(probe.isProbe).toBe(true);
    await record([delivered(probe)]);
    expect(await endpoint()).toMatchObject({ failures: 0, pauses: 0, paused_s: null, failing: false });
    expect((await claim({ limit: 20 })).map(({ isProbe }) => isProbe)).toEqual(Array(20).fill(false));
  });

  it("G4: uses up no attempts of what waits behind a pause", async () => {
    await insertEndpoints("end_a");
    await insertDeliveries(test.database, ["end_a"], 40);
    await record((await claim({ limit: 5 })).map(failed));
    expect(await claim()).toEqual([]);
    const rows = await test.database.query(
      "SELECT attempt, count(*)::integer AS count FROM due_deliveries GROUP BY 1 ORDER BY 1",
    );
    expect(rows).toEqual([
      { attempt: 0, count: 35 },
      { attempt: 1, count: 5 },
    ]);
    // Whoever waits for the next retry is told of the end of the pause too.
    expect(await nextAttemptInMs(test.database)).toBeLessThan(7_000);
  });

  it("G3: is opened by one outcome that says so, for as long as it says, and by a success beside it not closed", async () => {
    await insertEndpoints("end_a");
    await insertDeliveries(test.database, ["end_a"], 3);
    const [first, second] = await claim({ limit: 2 });
    if (first === undefined || second === undefined) throw new Error("nothing claimed");
    await record([{ ...failed(first), pauseMs: 75_000 }, delivered(second)]);
    const { paused_s = 0, failing } = (await endpoint()) ?? {};
    expect(Math.round(paused_s ?? 0)).toBe(75);
    expect(failing).toBe(false);
    expect(await claim()).toEqual([]);
  });

  it("G1: disables an endpoint that failed for days, told by an attempt that fails, and not by one long ago", async () => {
    await insertEndpoints("end_a");
    await insertDeliveries(test.database, ["end_a"], 3);
    const failingSince = (days: number, lastHoursAgo: number) =>
      test.database.query(
        `UPDATE endpoints SET failing_since = now() - $1::integer * interval '1 day',
           last_failed_at = now() - $2::integer * interval '1 hour'`,
        [days, lastHoursAgo],
      );
    await failingSince(6, 48); // silent since: what failed then says nothing of now
    expect((await record([failed(only(await claim({ limit: 1 })))])).disabled).toEqual([]);
    expect(await endpoint()).toMatchObject({ status: "enabled", failing: true });
    await failingSince(4, 1);
    expect((await record([failed(only(await claim({ limit: 1 })))])).disabled).toEqual([]);
    await failingSince(6, 1);
    const { disabled } = await record([failed(only(await claim({ limit: 1 })))]);
    expect(disabled).toMatchObject([{ id: "end_a", merchantId: MERCHANT_ID, reason: "failing" }]);
    expect(await endpoint()).toMatchObject({ status: "disabled", disabled_reason: "failing" });
  });

  it("takes outcomes of two recorders at once, whatever their order, without a deadlock", async () => {
    const ids = ["end_a", "end_b", "end_c", "end_d"];
    await insertEndpoints(...ids);
    await insertDeliveries(test.database, ids, 30);
    const all = await claim({ limit: 120, perEndpoint: 30 });
    const halves = [all.filter((_, n) => n % 2 === 0), all.filter((_, n) => n % 2 === 1).reverse()];
    for (let part = 0; part < 15; part++) {
      await Promise.all(halves.map((half) => record(half.slice(part * 4, part * 4 + 4).map(failed))));
    }
    expect(await endpoint()).toMatchObject({ failures: 30 });
  });
});

describe("releaseClaims", () => {
  it("H10: hands a claim back at once, without giving its number out again", async () => {
    await insertEndpoints("end_a");
    await insertDeliveries(test.database, ["end_a"]);
    const first = only(await claim());
    await releaseClaims(test.database, [{ ...first, waitMs: 0 }]);
    expect(only(await claim())).toMatchObject({ deliveryId: first.deliveryId, attempt: 2, failedBefore: 0 });
    // Handed back already: the late hand-back of the first changes nothing for who holds it now.
    await releaseClaims(test.database, [{ ...first, waitMs: 0 }]);
    expect(await claim()).toEqual([]);
  });

  it("puts off what this machine could not try", async () => {
    await insertEndpoints("end_a");
    await insertDeliveries(test.database, ["end_a"]);
    await releaseClaims(test.database, [{ ...only(await claim()), waitMs: 10_000 }]);
    expect(await claim()).toEqual([]);
    expect(await nextAttemptInMs(test.database)).toBeGreaterThan(5_000);
  });
});

describe("deleted endpoints", () => {
  it("have their due deliveries failed, but for those under way", async () => {
    await insertEndpoints("end_a", "end_b");
    await insertDeliveries(test.database, ["end_a", "end_b"], 3);
    const underWay = only(await claim({ limit: 1 }));
    await test.database.query("UPDATE endpoints SET deleted_at = now() WHERE id = 'end_a'");
    expect(await failDeliveriesOfDeletedEndpoints(test.database, 100)).toBe(2);
    expect((await record([delivered(underWay)])).deliveryIds.size).toBe(1);
    const states = await listDeliveries(test.database, {
      merchantId: MERCHANT_ID,
      endpointId: "end_a",
      limit: 10,
    });
    expect(states.map(({ state }) => state).sort()).toEqual(["delivered", "failed", "failed"]);
    expect(await countBacklog(test.database)).toMatchObject({ dueNow: 3, held: 0, waiting: 0 });
  });
});

describe("lists", () => {
  it("page through a merchant's deliveries, newest first", async () => {
    await insertEndpoints("end_a", "end_b");
    for (let n = 0; n < 4; n++) await insertDeliveries(test.database, ["end_a", "end_b"]);
    const all = await listDeliveries(test.database, { merchantId: MERCHANT_ID, limit: 100 });
    expect(all.map(({ id }) => id)).toEqual(
      all
        .map(({ id }) => id)
        .sort()
        .reverse(),
    );
    const paged = [];
    for (let before: string | undefined; ; before = paged.at(-1)?.id) {
      const page = await listDeliveries(test.database, {
        merchantId: MERCHANT_ID,
        limit: 3,
        ...(before === undefined ? {} : { before }),
      });
      paged.push(...page);
      if (page.length < 3) break;
    }
    expect(paged).toEqual(all);
    expect(paged).toHaveLength(8);
  });

  it("say how much is due, since when, and how much waits", async () => {
    expect(await countBacklog(test.database)).toEqual({ dueNow: 0, waiting: 0, held: 0, oldestDueAt: null });
    await insertEndpoints("end_a");
    await insertDeliveries(test.database, ["end_a"], 3);
    await test.database.query(
      `UPDATE due_deliveries SET next_attempt_at = now() + interval '1 hour'
       WHERE delivery_id = (SELECT min(delivery_id::text)::uuid FROM due_deliveries)`,
    );
    expect(await countBacklog(test.database)).toMatchObject({
      dueNow: 2,
      waiting: 1,
      oldestDueAt: expect.any(Date),
    });
  });
});
