import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { systemRandom } from "../runtime/random.ts";
import { endDueDeliveries, insertDeliveries, insertEndpoint } from "../testing/callbacks.ts";
import { createTestDatabase, type TestDatabase } from "../testing/database.ts";
import { MERCHANT_ID } from "../testing/factory.ts";
import { skipKeptDeliveries } from "./delivery-store.ts";
import { retryDelivery } from "./mending-store.ts";
import { beginReplay, finishOpenReplays } from "./replay-batches.ts";
import { advanceReplay, getReplay, listOpenReplays, orderReplay, type WantedReplay } from "./replay-store.ts";

let test: TestDatabase;
beforeAll(async () => {
  test = await createTestDatabase();
});
afterAll(() => test.drop());
beforeEach(async () => {
  await test.database.query(
    "TRUNCATE delivery_attempts, due_deliveries, deliveries, events, replays, endpoints",
  );
  await insertEndpoint(test.database, "https://a.example/", "end_a");
  await insertEndpoint(test.database, "https://b.example/", "end_b");
});

/** Deliveries that ended, at both endpoints, some hours ago. */
async function insertEnded(
  state: string,
  hoursAgo: number,
  count = 1,
  type = "endpoint.test",
): Promise<void> {
  await insertDeliveries(test.database, ["end_a", "end_b"], count);
  await test.database.query(
    `WITH ended AS (
       DELETE FROM due_deliveries
     ), moved AS (
       UPDATE deliveries SET state = $1, attempt = 3, finished_at = now(),
         created_at = now() - $2::integer * interval '1 hour',
         id = overlay(id::text PLACING left(uuid_v7_floor(now() - $2::integer * interval '1 hour')::text, 13) FROM 1 FOR 13)::uuid
       WHERE state = 'due' RETURNING event_id
     ) UPDATE events SET type = $3 WHERE id IN (SELECT event_id FROM moved)`,
    [state, hoursAgo, type],
  );
}

const due = async (endpointId: string) => {
  const [row] = await test.database.query<{ count: number }>(
    `SELECT count(*)::integer AS count FROM due_deliveries w JOIN deliveries d ON d.id = w.delivery_id
     WHERE d.endpoint_id = $1 AND d.state = 'due'`,
    [endpointId],
  );
  return row?.count;
};
const hoursAgo = (hours: number) => new Date(Date.now() - hours * 3_600_000);
const order = (wanted: Partial<WantedReplay>) =>
  orderReplay(test.database, systemRandom, { endpointId: "end_a", since: hoursAgo(10), ...wanted });

describe("a replay", () => {
  it("G1: makes an endpoint's failed deliveries of a time due again, and nobody else's", async () => {
    await insertEnded("failed", 20);
    await insertEnded("failed", 5, 3);
    await insertEnded("failed", 1);
    await insertEnded("delivered", 5);
    const { id, total } = await order({ until: hoursAgo(2), states: ["failed"] });
    expect(total).toBe(3);
    const replay = await beginReplay(test.database, id);
    expect(replay).toMatchObject({ done: 3, total: 3, states: ["failed"], types: null });
    expect(replay.finishedAt).toBeInstanceOf(Date);
    expect([await due("end_a"), await due("end_b")]).toEqual([3, 0]);
    expect(await test.database.query("SELECT DISTINCT attempt, schedule_base FROM due_deliveries")).toEqual([
      { attempt: 3, schedule_base: 3 },
    ]);
  });

  it("takes all that ended where no state is named, or some types alone", async () => {
    await insertEnded("failed", 5, 2, "deposit.pending");
    await insertEnded("delivered", 5, 2, "deposit.credited");
    await insertEnded("skipped", 5, 2, "deposit.credited");
    const some = await order({ types: ["deposit.credited"] });
    expect((await beginReplay(test.database, some.id)).done).toBe(4);
    const all = await order({});
    expect((await beginReplay(test.database, all.id)).done).toBe(2);
    expect(await due("end_a")).toBe(6);
  });

  it("goes on where it was cut off, each delivery once, whoever goes on", async () => {
    await insertEnded("failed", 5, 25);
    const { id } = await order({});
    const done: number[] = [];
    done.push((await advanceReplay(test.database, id, 10)).done);
    // Delivered meanwhile: a second time is not asked for.
    await endDueDeliveries(test.database, "delivered");
    await Promise.all([advanceReplay(test.database, id, 10), advanceReplay(test.database, id, 10)]);
    expect(await listOpenReplays(test.database)).toEqual([]);
    expect(await getReplay(test.database, MERCHANT_ID, id)).toMatchObject({ done: 25, total: 25 });
    expect(await due("end_a")).toBe(15);
    expect(done).toEqual([10]);
  });

  it("is finished by a worker when the one who ordered it is gone", async () => {
    await insertEnded("failed", 5, 5);
    const { id } = await order({});
    const finished: string[] = [];
    const parts = {
      onBatch: () => undefined,
      onFinished: (replay: { id: string }) => finished.push(replay.id),
    };
    await finishOpenReplays(test.database, parts, new AbortController().signal);
    expect(finished).toEqual([id]);
    expect(await due("end_a")).toBe(5);
  });

  it("is refused for an endpoint that is no more, and shown to nobody else", async () => {
    const { id } = await order({});
    await expect(getReplay(test.database, "mer_other", id)).rejects.toMatchObject({ code: "not_found" });
    await test.database.query("UPDATE endpoints SET deleted_at = now() WHERE id = 'end_a'");
    await expect(order({})).rejects.toMatchObject({ code: "not_found" });
  });
});

describe("a retry", () => {
  const only = async () => {
    const [row] = await test.database.query<{
      id: string;
      state: string;
      attempt: number | null;
      schedule_base: number | null;
      ms: number | null;
    }>(
      `SELECT d.id, d.state, w.attempt, w.schedule_base, extract(epoch FROM w.next_attempt_at - now())::integer AS ms
       FROM deliveries d LEFT JOIN due_deliveries w ON w.delivery_id = d.id WHERE d.endpoint_id = 'end_a'`,
    );
    return row;
  };

  it("G1: makes a failed delivery due, with the whole schedule before it", async () => {
    await insertEnded("failed", 5);
    await retryDelivery(test.database, MERCHANT_ID, (await only())?.id ?? "");
    expect(await only()).toMatchObject({ state: "due", attempt: 3, schedule_base: 3, ms: 0 });
  });

  it("brings the next attempt forward, and leaves one that is under way alone", async () => {
    await insertDeliveries(test.database, ["end_a"]);
    await test.database.query(
      "UPDATE due_deliveries SET attempt = 2, next_attempt_at = now() + interval '1 hour'",
    );
    const { id = "" } = (await only()) ?? {};
    await test.database.query("UPDATE due_deliveries SET claimed_until = now() + interval '1 minute'");
    await retryDelivery(test.database, MERCHANT_ID, id);
    expect((await only())?.ms).toBeGreaterThan(3_000);
    await test.database.query("UPDATE due_deliveries SET claimed_until = NULL");
    await retryDelivery(test.database, MERCHANT_ID, id);
    expect(await only()).toMatchObject({ state: "due", attempt: 2, schedule_base: 0, ms: 0 });
  });

  it("is refused for another merchant's delivery, and for that of a deleted endpoint", async () => {
    await insertEnded("failed", 5);
    const { id = "" } = (await only()) ?? {};
    await expect(retryDelivery(test.database, "mer_other", id)).rejects.toMatchObject({ code: "not_found" });
    await test.database.query("UPDATE endpoints SET deleted_at = now()");
    await expect(retryDelivery(test.database, MERCHANT_ID, id)).rejects.toMatchObject({
      code: "endpoint_deleted",
    });
    expect((await only())?.state).toBe("failed");
  });
});

describe("a replay that cannot be", () => {
  it.each([0, 1])("ends %i hours before it begins", async (hours) => {
    const since = hoursAgo(2);
    const until = new Date(since.getTime() - hours * 3_600_000);
    await expect(order({ since, until })).rejects.toMatchObject({ code: "invalid_request" });
  });
});

describe("skipping", () => {
  it("G5: ends what was kept for one endpoint, and can be taken back by a replay", async () => {
    await insertDeliveries(test.database, ["end_a", "end_b"], 3);
    await test.database.query("UPDATE endpoints SET status = 'disabled' WHERE id = 'end_a'");
    expect(await skipKeptDeliveries(test.database, "end_a")).toBe(3);
    expect([await due("end_a"), await due("end_b")]).toEqual([0, 3]);
    const { id } = await order({ states: ["skipped"] });
    expect((await beginReplay(test.database, id)).done).toBe(3);
    expect(await due("end_a")).toBe(3);
  });
});
