/** What events and deliveries name is there, and stays: the database sees to it as foreign keys would. */
import pg from "pg";
import { afterAll, beforeAll, expect, it } from "vitest";
import { insertEndpoint } from "../testing/callbacks.ts";
import { createTestDatabase, type TestDatabase } from "../testing/database.ts";
import { insertDepositRow } from "../testing/deposit-rows.ts";
import { MERCHANT_ID, seedChain } from "../testing/factory.ts";
import { waitFor } from "../testing/wait-for.ts";

let test: TestDatabase;
beforeAll(async () => {
  test = await createTestDatabase();
  await seedChain(test.database);
  await insertDepositRow(test.database, "dep_1");
  await insertEndpoint(test.database, "http://127.0.0.1:9/", "end_named");
  await insertEndpoint(test.database, "http://127.0.0.1:9/", "end_idle");
});
afterAll(() => test.drop());

const EVENT = "INSERT INTO events (merchant_id, type, deposit_id, sequence, body) VALUES";
const refuses = (statement: string, message: RegExp) =>
  expect(test.database.query(statement)).rejects.toThrow(message);

it("refuses an event of a merchant or a deposit that is not there", async () => {
  await refuses(`${EVENT} ('mer_none', 'deposit.pending', 'dep_1', 1, '{}')`, /not there/);
  await refuses(`${EVENT} ('${MERCHANT_ID}', 'deposit.pending', 'dep_none', 1, '{}')`, /not there/);
  const valid = `('${MERCHANT_ID}', 'deposit.pending', 'dep_1', 1, '{}')`;
  await refuses(`${EVENT} ${valid}, ('${MERCHANT_ID}', 'deposit.pending', 'dep_none', 1, '{}')`, /not there/);
});

it("refuses a delivery of an event, or to an endpoint, that is not there", async () => {
  await test.database.query(`${EVENT} ('${MERCHANT_ID}', 'deposit.pending', 'dep_1', 1, '{}')`);
  const toNobody = "INSERT INTO deliveries (event_id, endpoint_id) SELECT id, 'end_none' FROM events";
  await refuses(toNobody, /not there/);
  await refuses(
    "INSERT INTO deliveries (event_id, endpoint_id) VALUES (uuid_v7(), 'end_named')",
    /not there/,
  );
  await test.database.query(
    "INSERT INTO deliveries (event_id, endpoint_id) SELECT id, 'end_named' FROM events",
  );
});

it("keeps what is named from being deleted or renamed, and lets go what is not", async () => {
  await test.database.query("INSERT INTO merchants (id, name) VALUES ('mer_idle', 'Idle')");
  await refuses("DELETE FROM events", /deliveries names it/);
  await refuses("DELETE FROM endpoints WHERE id = 'end_named'", /deliveries names it/);
  await refuses(`DELETE FROM merchants WHERE id = '${MERCHANT_ID}'`, /events names it/);
  await refuses("UPDATE merchants SET id = 'mer_new' WHERE id = 'mer_idle'", /refused/);
  await refuses("UPDATE endpoints SET id = 'end_new' WHERE id = 'end_named'", /refused/);
  await refuses("UPDATE events SET merchant_id = 'mer_idle'", /refused/);
  await refuses("UPDATE deliveries SET endpoint_id = 'end_idle'", /refused/);
  await test.database.query("DELETE FROM endpoints WHERE id = 'end_idle'");
  await test.database.query("DELETE FROM merchants WHERE id = 'mer_idle'");
});

it("refuses to delete a merchant whose first event is being written by another transaction", async () => {
  await test.database.query("INSERT INTO merchants (id, name) VALUES ('mer_race', 'Race')");
  const writer = new pg.Client({ connectionString: test.url });
  await writer.connect();
  await writer.query("BEGIN");
  await writer.query(
    "INSERT INTO events (merchant_id, type, body) VALUES ('mer_race', 'endpoint.test', '{}')",
  );
  const deleting = test.database.query("DELETE FROM merchants WHERE id = 'mer_race'").then(
    () => "deleted",
    (error: Error) => error.message,
  );
  await waitFor(
    async () => {
      const waiting = await test.database.query(
        "SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'",
      );
      return waiting.length > 0;
    },
    { what: "the deletion to wait" },
  );
  await writer.query("COMMIT");
  await writer.end();
  expect(await deleting).toMatch(/events names it/);
});
