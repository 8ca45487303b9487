/** Imports into a real PostgreSQL. */
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { registerAddress } from "../merchants/address-store.ts";
import { systemRandom } from "../runtime/random.ts";
import { createTestDatabase, type TestDatabase } from "../testing/database.ts";
import { addressOf, MERCHANT_ID, seedChain } from "../testing/factory.ts";
import { type ImportFault, importAddresses } from "./import-addresses.ts";
import { loadAddressWatch } from "./watch-addresses.ts";

let test: TestDatabase;
beforeEach(async () => {
  test = await createTestDatabase();
  await seedChain(test.database);
});
afterEach(() => test.drop());

async function* bytesOf(lines: Iterable<string>) {
  for (const line of lines) yield Buffer.from(`${line}\n`);
}
async function importLines(lines: Iterable<string>, merchantId = MERCHANT_ID, signal?: AbortSignal) {
  const faults: ImportFault[] = [];
  const imported = await importAddresses(test.database, merchantId, bytesOf(lines), {
    onFault: (fault) => void faults.push(fault),
    ...(signal === undefined ? {} : { signal }),
  });
  return { ...imported, faults: faults.map(({ line, code }) => `${line} ${code}`) };
}
const many = (count: number) =>
  Array.from({ length: count }, (_, n) => `${addressOf(`many ${n}`)},user-${n}`);
const countAll = async () => (await test.database.query("SELECT 1 FROM watched_addresses")).length;

describe("an import of addresses", () => {
  it("registers all of several batches, each to its user, and changes nothing when it runs again", async () => {
    expect(await importLines(many(5_000))).toEqual({
      newCount: 5_000,
      knownCount: 0,
      faultCount: 0,
      faults: [],
    });
    expect(await importLines(many(5_000))).toMatchObject({ newCount: 0, knownCount: 5_000 });
    const rows = await test.database.query(
      "SELECT address FROM watched_addresses WHERE user_id = 'user-4321'",
    );
    expect(rows).toEqual([{ address: Buffer.from(addressOf("many 4321").slice(2), "hex") }]);
    const { table } = await loadAddressWatch(test.database, systemRandom);
    expect(table.size).toBe(5_000);
  });

  it("tells each line that cannot be taken with its number, and takes the others", async () => {
    await registerAddress(test.database, {
      address: addressOf("bob's"),
      merchantId: MERCHANT_ID,
      userId: "bob",
    });
    const lines = [
      "address,userId",
      `${addressOf("1")},alice`,
      "0x12,alice",
      "",
      `${addressOf("bob's")},alice`,
      `${addressOf("2")}`,
      JSON.stringify({ address: addressOf("3"), userId: "carol" }),
      `${addressOf("3")},dave`,
      `${addressOf("1")},alice`,
      "x".repeat(10_000),
      `${addressOf("4")},erin`,
    ];
    const imported = await importLines(lines);
    expect(imported).toMatchObject({ newCount: 3, knownCount: 1, faultCount: 5 });
    expect(imported.faults.sort()).toEqual([
      "10 invalid_request",
      "3 invalid_address",
      "5 address_taken",
      "6 invalid_request",
      "8 address_taken",
    ]);
  });

  it("does not take another merchant's address", async () => {
    await importLines(many(10));
    await test.database.query("INSERT INTO merchants (id, name) VALUES ('mer_other', 'Other')");
    expect(await importLines(many(10), "mer_other")).toMatchObject({ newCount: 0, faultCount: 10 });
  });

  it("keeps the batches that were committed when it is cut off, and ends with all of them when run again", async () => {
    const stop = new AbortController();
    function* cutOff() {
      for (const [index, line] of many(6_000).entries()) {
        if (index === 4_500) stop.abort(new Error("Cut off"));
        yield line;
      }
    }
    await expect(importLines(cutOff(), MERCHANT_ID, stop.signal)).rejects.toThrow("Cut off");
    expect(await countAll()).toBe(4_000);
    expect(await importLines(many(6_000))).toMatchObject({ newCount: 2_000, knownCount: 4_000 });
  });

  it("may run several times at once over the same lines in other orders", async () => {
    const lines = many(6_000);
    const orders = [lines, lines.toReversed(), [...lines.slice(3_000), ...lines.slice(0, 3_000)]];
    const results = await Promise.all(orders.map((order) => importLines(order)));
    expect(results.reduce((sum, each) => sum + each.newCount, 0)).toBe(6_000);
    expect(results.map((each) => each.newCount + each.knownCount)).toEqual([6_000, 6_000, 6_000]);
  });
});
