/** The floor of settling: the same facts written into tables that have nothing but a primary key. */
import { depositId } from "../../src/core/deposit-id.ts";
import type { Database, Sql } from "../../src/db/database.ts";

import { hashOf } from "../../src/testing/factory.ts";

/** As in settle-deposits: a commit is shared by this many. */
const BATCH_SIZE = 1_000;

/** One row for each deposit and account (changed in truth, inserted here), entry, event and delivery; two postings. */
export async function createFloorTables(sql: Sql): Promise<void> {
  for (const statement of [
    "CREATE TABLE floor_deposits (id text PRIMARY KEY, status text, sequence integer, credited_at timestamptz, rest bytea)",
    "CREATE TABLE floor_entries (id uuid PRIMARY KEY DEFAULT uuid_v7(), kind text, reference text, generation integer)",
    "CREATE TABLE floor_postings (entry bigint, line smallint, account bigint, asset integer, amount numeric, PRIMARY KEY (entry, line))",
    "CREATE TABLE floor_accounts (id bigint PRIMARY KEY, code text, balance numeric)",
    "CREATE TABLE floor_events (id uuid PRIMARY KEY DEFAULT uuid_v7(), type text, reference text, body text)",
    "CREATE TABLE floor_deliveries (id uuid PRIMARY KEY DEFAULT uuid_v7(), event text, endpoint text)",
  ]) {
    await sql.query(statement);
  }
}

let written = 0;

export async function insertFloorRows(database: Database, count: number): Promise<void> {
  for (let from = 0; from < count; from += BATCH_SIZE) {
    const numbers = Array.from({ length: Math.min(BATCH_SIZE, count - from) }, () => written++);
    await database.transaction((tx) => insertBatch(tx, numbers));
  }
}

async function insertBatch(tx: Sql, numbers: readonly number[]): Promise<void> {
  // As real ones they come in no order.
  const ids = numbers.map((number) => depositId(1, hashOf(String(number)), "value"));
  // A deposit's row is some 400 bytes, the body of its event some 900.
  const bodies = ids.map((id) => id.padEnd(900, "x"));
  await tx.query(
    "INSERT INTO floor_deposits SELECT id, 'credited', 2, now(), decode(repeat('ab', 300), 'hex') FROM unnest($1::text[]) AS t(id)",
    [ids],
  );
  await tx.query(
    "INSERT INTO floor_entries (kind, reference, generation) SELECT 'credit', id, 1 FROM unnest($1::text[]) AS t(id)",
    [ids],
  );
  await tx.query(
    `INSERT INTO floor_postings SELECT n, line, n, 1, 1000000 + n
     FROM unnest($1::bigint[]) AS t(n), generate_series(0, 1) AS l(line)`,
    [numbers],
  );
  await tx.query(
    "INSERT INTO floor_accounts SELECT n, 'locked:1:mer_test:' || n, n FROM unnest($1::bigint[]) AS t(n)",
    [numbers],
  );
  await tx.query(
    "INSERT INTO floor_events (type, reference, body) SELECT 'deposit.credited', id, body FROM unnest($1::text[], $2::text[]) AS t(id, body)",
    [ids, bodies],
  );
  await tx.query(
    "INSERT INTO floor_deliveries (event, endpoint) SELECT id, 'end_bench' FROM unnest($1::text[]) AS t(id)",
    [ids],
  );
}
