import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { createTestDatabase, type TestDatabase } from "../testing/database.ts";
import { waitFor } from "../testing/wait-for.ts";
import { acquireLease, releaseLease, renewLease } from "./lease-store.ts";

const CHAIN = 31337;
const LONG_MS = 60_000;
const BLOCKED =
  "SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()";

let test: TestDatabase;

beforeAll(async () => {
  test = await createTestDatabase();
});
afterAll(() => test.drop());

beforeEach(async () => {
  await test.database.query("DELETE FROM chains");
  await test.database.query("INSERT INTO chains (chain_id, name) VALUES ($1, 'local'), ($2, 'other')", [
    CHAIN,
    1,
  ]);
});

/** As if this time had passed on the database's clock. */
async function pass(ms: number): Promise<void> {
  await test.database.query("UPDATE chains SET lease_until = lease_until - $1 * interval '1 millisecond'", [
    ms,
  ]);
}

const acquire = (holder: string) => acquireLease(test.database, CHAIN, holder, LONG_MS);

describe("lease", () => {
  it("is given to one holder at a time, for each chain on its own", async () => {
    expect(await acquire("a")).toBe(1n);
    expect(await acquire("b")).toBeNull();
    expect(await acquireLease(test.database, 1, "b", LONG_MS)).toBe(1n);
  });

  it("H1: is given to exactly one of many that ask at once", async () => {
    const answers = await Promise.all(Array.from({ length: 10 }, (_, i) => acquire(`daemon-${i}`)));
    expect(answers.filter((token) => token !== null)).toEqual([1n]);
  });

  it("H1: goes to another holder when its time is over, under a higher token", async () => {
    await acquire("a");
    await pass(LONG_MS - 1_000);
    expect(await acquire("b")).toBeNull();
    await pass(1_001);
    expect(await acquire("b")).toBe(2n);
  });

  it("is held on by renewing it, which moves its end and keeps its token", async () => {
    const token = (await acquire("a")) ?? 0n;
    await pass(LONG_MS - 1_000);
    expect(await renewLease(test.database, CHAIN, token, LONG_MS)).toBe(true);
    await pass(2_000);
    expect(await acquire("b")).toBeNull();
    const rows = await test.database.query(
      "SELECT lease_token, lease_holder FROM chains WHERE chain_id = $1",
      [CHAIN],
    );
    expect(rows).toEqual([{ lease_token: 1n, lease_holder: "a" }]);
  });

  it("H7: cannot be renewed by a holder that slept while another took it", async () => {
    const token = (await acquire("frozen")) ?? 0n;
    await pass(LONG_MS + 1);
    const next = (await acquire("b")) ?? 0n;
    expect(await renewLease(test.database, CHAIN, token, LONG_MS)).toBe(false);
    await releaseLease(test.database, CHAIN, token);
    expect(await renewLease(test.database, CHAIN, next, LONG_MS)).toBe(true);
    expect(await acquire("c")).toBeNull();
  });

  it("can be renewed late when nobody took it", async () => {
    const token = (await acquire("a")) ?? 0n;
    await pass(LONG_MS + 1);
    expect(await renewLease(test.database, CHAIN, token, LONG_MS)).toBe(true);
    expect(await acquire("b")).toBeNull();
  });

  it("is free at once after it was released, and cannot be renewed any more", async () => {
    const token = (await acquire("a")) ?? 0n;
    await releaseLease(test.database, CHAIN, token);
    expect(await renewLease(test.database, CHAIN, token, LONG_MS)).toBe(false);
    expect(await acquire("b")).toBe(2n);
  });

  it("lasts its full time for a holder that had to wait for the row", async () => {
    await acquire("a");
    await pass(LONG_MS + 1);
    let waiting: Promise<bigint | null> = Promise.resolve(null);
    await test.database.transaction(async (tx) => {
      await tx.query("UPDATE chains SET head_number = 1 WHERE chain_id = $1", [CHAIN]);
      waiting = acquire("b");
      await waitFor(async () => (await test.database.query(BLOCKED)).length > 0);
      await tx.query("SELECT pg_sleep(0.3)");
    });
    expect(await waiting).toBe(2n);
    const [left] = await test.database.query<{ ms: number }>(
      `SELECT extract(epoch FROM lease_until - clock_timestamp())::float8 * 1000 AS ms FROM chains WHERE chain_id = $1`,
      [CHAIN],
    );
    expect(left?.ms).toBeGreaterThan(LONG_MS - 200);
  });
});
