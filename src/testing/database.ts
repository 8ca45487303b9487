/**
 * A database of its own for a test file: a clone of the migrated template that the global setup made.
 *
 * What a file leaves open fails it: a database that was not dropped, or connections to it that were not closed.
 */
import { randomBytes } from "node:crypto";
import pg from "pg";
import { inject } from "vitest";
import { type Database, openDatabase } from "../db/database.ts";
import { silentLogger } from "../runtime/logger.ts";
import { TEMPLATE_DATABASE } from "./global-setup.ts";
import { waitFor } from "./wait-for.ts";

export interface TestDatabase {
  readonly url: string;
  readonly database: Database;
  /** Closes the pool and drops the database. */
  drop(): Promise<void>;
}

const openDatabases = new Map<string, TestDatabase>();

/** Call it in `beforeAll`, and `drop` in `afterAll`. */
export async function createTestDatabase(): Promise<TestDatabase> {
  const { name, url } = await createDatabase(TEMPLATE_DATABASE);
  const database = openDatabase({
    url,
    maxConnections: 10,
    logger: silentLogger,
    applicationName: "depositd test",
  });
  const test: TestDatabase = {
    url,
    database,
    drop: async () => {
      if (!openDatabases.delete(name)) return;
      await database.close();
      await dropDatabase(name);
    },
  };
  openDatabases.set(name, test);
  return test;
}

/** A database with nothing in it, not even the schema. Give its name to `dropDatabase` when done. */
export async function createDatabase(template = "template0"): Promise<{ name: string; url: string }> {
  const name = `test_${randomBytes(6).toString("hex")}`;
  await asAdmin((admin) => admin.query(`CREATE DATABASE ${name} TEMPLATE ${template}`));
  const url = new URL(inject("databaseAdminUrl"));
  url.pathname = `/${name}`;
  return { name, url: url.href };
}

/** @throws Error when somebody is still connected to it a moment later; it is dropped all the same */
export async function dropDatabase(name: string): Promise<void> {
  await asAdmin(async (admin) => {
    const leaked = await findSessions(admin, name);
    await admin.query(`DROP DATABASE IF EXISTS ${name} WITH (FORCE)`);
    if (leaked.length > 0)
      throw new Error(`Connections to a test database were left open: ${leaked.join("; ")}`);
  });
}

/** For the setup file: fails the test file that left a database behind. */
export async function failOnLeakedDatabases(): Promise<void> {
  const leaked = [...openDatabases.keys()];
  await Promise.allSettled([...openDatabases.values()].map((test) => test.drop()));
  if (leaked.length > 0) throw new Error(`This file did not drop() its test databases: ${leaked.join(", ")}`);
}

/** Sessions end a moment after their sockets, so they get that moment. */
async function findSessions(admin: pg.Client, name: string): Promise<string[]> {
  let sessions: string[] = [];
  const isQuiet = async () => {
    const { rows } = await admin.query<{ session: string }>(
      `SELECT application_name || ', ' || coalesce(state, '?') || ': ' || left(query, 80) AS session
       FROM pg_stat_activity WHERE datname = $1 AND backend_type = 'client backend'`,
      [name],
    );
    sessions = rows.map((row) => row.session);
    return sessions.length === 0;
  };
  await waitFor(isQuiet, { timeoutMs: 2_000 }).catch(() => undefined);
  return sessions;
}

async function asAdmin<Result>(work: (admin: pg.Client) => Promise<Result>): Promise<Result> {
  const admin = new pg.Client({
    connectionString: inject("databaseAdminUrl"),
    application_name: "test admin",
  });
  await admin.connect();
  try {
    return await work(admin);
  } finally {
    await admin.end();
  }
}
