/** The addresses in memory against those in a real PostgreSQL. */
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { Database } from "../db/database.ts";
import { registerAddress } from "../merchants/address-store.ts";
import { systemRandom } from "../runtime/random.ts";
import { createTestDatabase, type TestDatabase } from "../testing/database.ts";
import { addressOf, MERCHANT_ID, seedChain } from "../testing/factory.ts";
import { createAddressLoader, loadAddressWatch, loadNewAddresses } from "./watch-addresses.ts";

let test: TestDatabase;
beforeEach(async () => {
  test = await createTestDatabase();
  await seedChain(test.database);
});
afterEach(() => test.drop());

/** Addresses `0x…01`, `0x…02`, and so on: made where they are kept. */
const fill = (count: number, from = 1) =>
  test.database.query(
    `INSERT INTO watched_addresses (address, merchant_id, user_id)
     SELECT decode(lpad(to_hex(n), 40, '0'), 'hex'), $1, 'many' FROM generate_series($2::int, $3::int) AS n`,
    [MERCHANT_ID, from, from + count - 1],
  );
const numbered = (n: number) => `0x${n.toString(16).padStart(40, "0")}` as const;
const register = (name: string) =>
  registerAddress(test.database, { address: addressOf(name), merchantId: MERCHANT_ID, userId: name });
const missing = (contains: (address: string) => boolean, count: number) =>
  Array.from({ length: count }, (_, n) => numbered(n + 1)).filter((address) => !contains(address));

describe("loading the watched addresses", () => {
  it("holds every one after several pages, gaps in their numbers or not", async () => {
    await fill(25_000);
    await fill(30_000, 1).catch(() => undefined); // refused as a whole: its numbers are gone
    await fill(25_000, 25_001);
    const watch = await loadAddressWatch(test.database, systemRandom);
    expect(watch.table.size).toBe(50_000);
    expect(missing((address) => watch.table.mayContain(address), 50_000)).toEqual([]);
  });

  it("makes room once, for as many as there are", async () => {
    await fill(45_000);
    const { table } = await loadAddressWatch(test.database, systemRandom);
    const { byteLength } = table;
    table.reserve(45_000);
    expect(table.byteLength).toBe(byteLength);
  });

  it("is shared by all who ask, tells how far it is, and goes on where it was cut off", async () => {
    await fill(60_000);
    let pages = 0;
    let failAt = 2;
    const flaky: Database = {
      ...test.database,
      query: async (text, values) => {
        if (text.includes("string_agg") && ++pages === failAt) throw new Error("The database went away");
        return test.database.query(text, values);
      },
    };
    const loader = createAddressLoader(flaky, systemRandom);
    expect(loader.progress()).toBeNull();
    const [first, second] = await Promise.allSettled([loader.load(), loader.load()]);
    expect([first?.status, second?.status]).toEqual(["rejected", "rejected"]);
    expect(pages).toBe(2);
    failAt = -1;
    const loading = loader.load();
    const [watch, again] = await Promise.all([loading, loader.load()]);
    expect(watch).toBe(again);
    expect(pages).toBe(2 + 2); // the first page was kept
    expect(watch.table.size).toBe(60_000);
    expect(loader.progress()).toBeNull();
  });

  it("ends when it is told to stop", async () => {
    await fill(10);
    const stop = new AbortController();
    stop.abort(new Error("Stopping"));
    await expect(createAddressLoader(test.database, systemRandom).load(stop.signal)).rejects.toThrow(
      "Stopping",
    );
  });

  it("is fed with what was registered since, and only with that", async () => {
    await fill(3);
    const watch = await loadAddressWatch(test.database, systemRandom);
    await register("late");
    expect(watch.table.mayContain(addressOf("late"))).toBe(false);
    await loadNewAddresses(test.database, watch);
    expect(watch.table.mayContain(addressOf("late"))).toBe(true);
    expect(watch.table.size).toBe(4);
  });
});
