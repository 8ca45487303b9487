/** Connections that break. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createTestDatabase, type TestDatabase } from "../testing/database.ts";

let test: TestDatabase;
beforeAll(async () => {
  test = await createTestDatabase();
});
afterAll(() => test.drop());

describe("a connection that breaks", () => {
  it("does not end the process in the moment in which it is handed out", async () => {
    const { pool } = test.database;
    const client = await pool.connect();
    // What a reset connection emits, before anyone who asked for the connection can listen.
    expect(() => client.emit("error", new Error("read ECONNRESET"))).not.toThrow();
    client.release(true);
    expect(await test.database.query("SELECT 1 AS one")).toEqual([{ one: 1 }]);
  });
});

describe("a transaction of a process that is frozen", () => {
  it("H7: is ended by the database, so that it does not hold its locks for ever", async () => {
    const [setting] = await test.database.query<object>("SHOW idle_in_transaction_session_timeout");
    expect(setting).toEqual({ idle_in_transaction_session_timeout: "10s" });
  });
});
