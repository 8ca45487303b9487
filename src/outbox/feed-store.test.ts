import pg from "pg";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { createTestDatabase, type TestDatabase } from "../testing/database.ts";
import { MERCHANT_ID } from "../testing/factory.ts";
import { waitFor } from "../testing/wait-for.ts";
import { findFeedEnd, readFeed } from "./feed-store.ts";

let test: TestDatabase;
const writers: pg.Client[] = [];
beforeAll(async () => {
  test = await createTestDatabase();
  await test.database.query("INSERT INTO merchants (id, name) VALUES ($1, 'Test'), ('mer_other', 'Other')", [
    MERCHANT_ID,
  ]);
  for (let n = 0; n < 6; n++) {
    const writer = new pg.Client({ connectionString: test.url });
    await writer.connect();
    writers.push(writer);
  }
});
afterAll(async () => {
  for (const writer of writers) await writer.end();
  await test.drop();
});
beforeEach(() => test.database.query("TRUNCATE delivery_attempts, due_deliveries, deliveries, events"));

async function write(writer: pg.Client, name: string, merchantId = MERCHANT_ID): Promise<void> {
  await writer.query("INSERT INTO events (merchant_id, type, body) VALUES ($1, 'endpoint.test', $2)", [
    merchantId,
    name,
  ]);
}

const read = async (after?: Parameters<typeof readFeed>[2], limit = 100) =>
  readFeed(test.database, MERCHANT_ID, after, limit);
const names = (items: Awaited<ReturnType<typeof read>>) => items.map(({ body }) => body);

/** The watermark is the whole server's: other test files' transactions hold it up too. */
const untilRead = (bodies: readonly string[]) =>
  waitFor(async () => names(await read()).length === bodies.length, { what: `${bodies.length} events` });

function writer(index: number): pg.Client {
  const found = writers[index];
  if (found === undefined) throw new Error(`there is no writer ${index}`);
  return found;
}

describe("the feed", () => {
  it("leaves nothing out for a reader who goes on between commits in the opposite order", async () => {
    for (const each of writers) await each.query("BEGIN");
    for (const [index, each] of writers.entries()) await write(each, `event ${index}`);
    const seen: string[] = [];
    let after: Parameters<typeof readFeed>[2];
    const goOn = async () => {
      const items = await read(after);
      seen.push(...names(items));
      after = items.at(-1) ?? after;
    };
    for (const each of [...writers].reverse()) {
      await goOn();
      await each.query("COMMIT");
    }
    await waitFor(async () => {
      await goOn();
      return seen.length === writers.length;
    });
    expect(seen).toEqual(writers.map((_, index) => `event ${index}`));
  });

  it("gives the same order to every reader, whenever it reads", async () => {
    const seen: string[] = [];
    let after: Parameters<typeof readFeed>[2];
    let isWriting = true;
    const writing = Promise.all(
      writers.map(async (each, index) => {
        for (let round = 0; round < 40; round++) {
          await each.query("BEGIN");
          await write(each, `${index}.${round}.a`);
          await write(each, `${index}.${round}.b`);
          await each.query(round % 7 === 3 ? "ROLLBACK" : "COMMIT");
        }
      }),
    ).finally(() => {
      isWriting = false;
    });
    const expected = 6 * 34 * 2;
    await waitFor(
      async () => {
        const items = await read(after, 7);
        seen.push(...names(items));
        after = items.at(-1) ?? after;
        return !isWriting && seen.length >= expected;
      },
      { intervalMs: 0 },
    );
    await writing;
    expect(seen).toHaveLength(expected);
    expect(seen).toEqual(names(await read(undefined, 10_000)));
  });

  it("shows an event only when no older transaction can bring one before it", async () => {
    await writer(0).query("BEGIN");
    await write(writer(0), "slow");
    await write(writer(1), "quick");
    expect(await read()).toEqual([]);
    await writer(0).query("COMMIT");
    await untilRead(["slow", "quick"]);
    expect(names(await read())).toEqual(["slow", "quick"]);
  });

  it("holds a merchant's own events alone, in pages", async () => {
    for (const name of ["a", "b", "c"]) {
      await write(writer(0), name);
      await write(writer(0), `other ${name}`, "mer_other");
    }
    await untilRead(["a", "b", "c"]);
    const first = await read(undefined, 2);
    expect(names(first)).toEqual(["a", "b"]);
    expect(names(await read(first.at(-1), 2))).toEqual(["c"]);
    expect(await findFeedEnd(test.database, MERCHANT_ID)).toMatchObject({ id: (await read()).at(-1)?.id });
    expect(await findFeedEnd(test.database, "mer_nobody")).toBe(undefined);
  });
});
