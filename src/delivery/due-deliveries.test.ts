/** `due_deliveries`: what is due stands there, and costs the table of all deliveries and its indexes nothing. */
import { cp, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { openDatabase, type Sql } from "../db/database.ts";
import { migrate } from "../db/migrate.ts";
import { MIGRATIONS_FOLDER, readMigrations } from "../db/migration-files.ts";
import { silentLogger } from "../runtime/logger.ts";
import { endDueDeliveries, insertDeliveries, insertEndpoint } from "../testing/callbacks.ts";
import { delivered } from "../testing/claims.ts";
import { createDatabase, createTestDatabase, dropDatabase, type TestDatabase } from "../testing/database.ts";
import { MERCHANT_ID } from "../testing/factory.ts";
import { waitFor } from "../testing/wait-for.ts";
import { type ClaimedDelivery, claimDeliveries } from "./claim-store.ts";
import { NEXT_ATTEMPT, nextAttemptInMs, vacuumDueDeliveries } from "./delivery-store.ts";
import { recordOutcomes } from "./outcome-store.ts";

let test: TestDatabase;
beforeAll(async () => {
  test = await createTestDatabase();
});
afterAll(() => test.drop());
beforeEach(() =>
  test.database.query("TRUNCATE delivery_attempts, due_deliveries, deliveries, events, replays, endpoints"),
);

const claim = (sql: Sql, limit: number) =>
  claimDeliveries(sql, {
    limit,
    perEndpoint: limit,
    freeByEndpoint: new Map(),
    leaseMs: 60_000,
    after: "",
  });

const record = (sql: Sql, claims: readonly ClaimedDelivery[]) =>
  recordOutcomes(sql, claims.map(delivered), { disableAfterMs: 5 * 86_400_000, fraction: 0.5 });

it("touches no index from the claim to the end: each row's next version finds room in its page", async () => {
  await insertEndpoint(test.database, "https://a.example/");
  await insertDeliveries(test.database, ["end_test"], 1_000);
  const updates = await test.database.transaction(async (tx) => {
    for (let claimed = 0; claimed < 1_000; ) {
      const { deliveries } = await claim(tx, 1_000);
      await record(tx, deliveries);
      claimed += deliveries.length;
    }
    return tx.query<{ relname: string; all: bigint; in_place: bigint }>(
      `SELECT relname, n_tup_upd AS all, n_tup_hot_upd AS in_place FROM pg_stat_xact_user_tables
       WHERE relname IN ('deliveries', 'due_deliveries') ORDER BY relname`,
    );
  });
  expect(updates).toEqual([
    { relname: "deliveries", all: 1_000n, in_place: 1_000n },
    { relname: "due_deliveries", all: 1_000n, in_place: 1_000n },
  ]);
  expect(await test.database.query("SELECT FROM due_deliveries")).toEqual([]);
});

it("keeps a plan that was made while nothing was due, and reads no more by it when fifty thousand are", async () => {
  // Of its own: emptied by TRUNCATE, a table has no pages left.
  const fresh = await createTestDatabase();
  const database = openDatabase({ url: fresh.url, maxConnections: 1, logger: silentLogger });
  const readPages = async (statement: string) => {
    const [row] = await database.query<{ "QUERY PLAN": [{ Plan: Record<string, number> }] }>(
      `EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) EXECUTE ${statement}`,
    );
    const plan = row?.["QUERY PLAN"][0].Plan ?? {};
    return (plan["Shared Hit Blocks"] ?? 0) + (plan["Shared Read Blocks"] ?? 0);
  };
  try {
    await fresh.database.query("VACUUM ANALYZE due_deliveries");
    // After five times a connection keeps its plan, whatever becomes of the table.
    for (let time = 0; time < 7; time++) {
      await claim(database, 10);
      await record(database, []);
      await nextAttemptInMs(database);
    }
    await insertEndpoint(fresh.database, "https://a.example/", "end_a");
    await insertEndpoint(fresh.database, "https://b.example/", "end_b");
    await insertDeliveries(fresh.database, ["end_a", "end_b"], 25_000);

    expect(await readPages(`"claim deliveries" ('', 10, 5, '{}', '{}', 60000)`)).toBeLessThan(500);
    expect(await readPages('"next attempt"')).toBeLessThan(100);
    const [row] = await database.query<{ id: string }>(
      "SELECT delivery_id AS id FROM due_deliveries WHERE attempt = 1 LIMIT 1",
    );
    const outcome = `'{${row?.id}}', '{1}', '{}', '{}', '{}', '{1}', '{5}', '{5}', '{204}', ${"'{}', ".repeat(8)}`;
    const recorded = `"record outcomes" (${outcome} 1000, 5, 1000, 1000, 0.5, 1000, '{https://a.example/}')`;
    expect(await readPages(recorded)).toBeLessThan(100);
    expect(await database.query("SELECT FROM deliveries WHERE state = 'delivered'")).toHaveLength(1);
  } finally {
    await database.close();
    await fresh.drop();
  }
}, 120_000);

it("is rid of what ended when that is much, so that no claim walks over it", async () => {
  await insertEndpoint(test.database, "https://a.example/");
  await insertDeliveries(test.database, ["end_test"], 25_000);
  await endDueDeliveries(test.database, "delivered");
  // What was counted is told a moment later.
  await waitFor(() => vacuumDueDeliveries(test.database));
  const [row] = await test.database.query<{ "QUERY PLAN": [{ Plan: Record<string, number> }] }>(
    `EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) ${NEXT_ATTEMPT}`,
  );
  const plan = row?.["QUERY PLAN"][0].Plan ?? {};
  expect((plan["Shared Hit Blocks"] ?? 0) + (plan["Shared Read Blocks"] ?? 0)).toBeLessThan(20);
}, 120_000);

describe("the migration", () => {
  it("brings over what is under way, with its number and its place in the schedule, and leaves the rest", async () => {
    const folder = await mkdtemp(join(tmpdir(), "depositd-migrations-"));
    await cp(MIGRATIONS_FOLDER, folder, { recursive: true });
    for (const { name } of await readMigrations(folder))
      if (name >= "0028") await rm(join(folder, name), { recursive: true });
    const { name, url } = await createDatabase();
    const database = openDatabase({ url, maxConnections: 2, logger: silentLogger });
    try {
      await migrate(database.pool, silentLogger, folder);
      await insertEndpoint(database, "https://a.example/");
      await database.query(
        "INSERT INTO events (merchant_id, type, body) SELECT $1, 'endpoint.test', '{}' FROM generate_series(1, 4)",
        [MERCHANT_ID],
      );
      await database.query(
        `INSERT INTO deliveries (event_id, endpoint_id, state, attempt, schedule_base, claimed_until, next_attempt_at, finished_at)
         SELECT e.id, 'end_test', s.state, s.attempt, s.base, s.claimed, s.next, s.finished FROM (SELECT id, row_number() OVER (ORDER BY id) AS n FROM events) e
         JOIN (VALUES
           (1, 'due', 0, 0, NULL::timestamptz, '2026-01-01T00:00:00Z'::timestamptz, NULL::timestamptz),
           (2, 'due', 7, 4, '2026-01-01T00:01:00Z', '2026-01-01T00:00:00Z', NULL),
           (3, 'delivered', 1, 0, NULL, '2026-01-01T00:00:00Z', now()),
           (4, 'failed', 9, 0, NULL, '2026-01-01T00:00:00Z', now())) AS s(n, state, attempt, base, claimed, next, finished)
           USING (n)`,
      );
      await database.query(
        `INSERT INTO delivery_attempts (delivery_id, attempt, started_at, duration_ms, error)
         SELECT id, n, now(), 5, 'status' FROM deliveries, generate_series(3, 6) n WHERE attempt = 7`,
      );
      await migrate(database.pool, silentLogger);

      expect(
        await database.query(
          `SELECT d.state, d.attempt, w.attempt AS begun, w.schedule_base AS base, w.claimed_until AS claimed
           FROM deliveries d LEFT JOIN due_deliveries w ON (w.delivery_id, w.event_id, w.endpoint_id, w.next_attempt_at)
             = (d.id, d.event_id, d.endpoint_id, d.first_attempt_at) ORDER BY d.id`,
        ),
      ).toEqual([
        { state: "due", attempt: 0, begun: 0, base: 0, claimed: null },
        { state: "due", attempt: 4, begun: 7, base: 4, claimed: new Date("2026-01-01T00:01:00Z") },
        { state: "delivered", attempt: 1, begun: null, base: null, claimed: null },
        { state: "failed", attempt: 9, begun: null, base: null, claimed: null },
      ]);
      const { deliveries } = await claim(database, 10);
      expect(deliveries.map(({ attempt, failedBefore }) => [attempt, failedBefore]).sort()).toEqual([
        [1, 0],
        [8, 2],
      ]);
      expect((await record(database, deliveries)).deliveryIds.size).toBe(2);
    } finally {
      await database.close();
      await dropDatabase(name);
      await rm(folder, { recursive: true });
    }
  });
});
