/**
 * Brings a database to this program's schema. The ledger of what was applied is Prisma's own table, row for row
 * as `prisma migrate deploy` writes it, so that Prisma's tools and this one can take turns on a database; but no
 * engine has to be downloaded for it.
 *
 * Forward only, one at a time for all processes, each migration in one transaction with its line in the ledger.
 */
import type pg from "pg";
import { coerceError, FatalError } from "../core/errors.ts";
import type { Logger } from "../runtime/logger.ts";
import { hasChecksum, MIGRATIONS_FOLDER, type Migration, readMigrations } from "./migration-files.ts";

/** A row of `_prisma_migrations`. */
interface LedgerRow {
  readonly migration_name: string;
  readonly checksum: string;
  readonly finished: boolean;
}

/** The advisory lock that `prisma migrate` takes: the two never apply migrations at the same time. */
const PRISMA_ADVISORY_LOCK = 72_707_369;

/** As Prisma creates it (schema-engine, sql-schema-connector, postgres `create_migrations_table`). */
const CREATE_LEDGER = `
  CREATE TABLE _prisma_migrations (
    id                  VARCHAR(36) PRIMARY KEY NOT NULL,
    checksum            VARCHAR(64) NOT NULL,
    finished_at         TIMESTAMPTZ,
    migration_name      VARCHAR(255) NOT NULL,
    logs                TEXT,
    rolled_back_at      TIMESTAMPTZ,
    started_at          TIMESTAMPTZ NOT NULL DEFAULT now(),
    applied_steps_count INTEGER NOT NULL DEFAULT 0
  )`;

/**
 * Applies the migrations that the database does not have yet, and answers their names.
 *
 * @throws FatalError `database_too_new`, `database_migration_changed`, `database_migration_failed`
 */
export async function migrate(
  pool: pg.Pool,
  logger: Logger,
  folder: string = MIGRATIONS_FOLDER,
): Promise<{ applied: string[] }> {
  const migrations = await readMigrations(folder);
  const client = await pool.connect();
  let broken: Error | undefined;
  try {
    await client.query("SELECT pg_advisory_lock($1)", [PRISMA_ADVISORY_LOCK]);
    const pending = findPending(migrations, await readLedger(client));
    for (const migration of pending) await apply(client, migration, logger);
    await client.query("SELECT pg_advisory_unlock($1)", [PRISMA_ADVISORY_LOCK]);
    return { applied: pending.map((migration) => migration.name) };
  } catch (rawError) {
    // The lock goes with the connection, which is not used again.
    broken = coerceError(rawError);
    throw broken;
  } finally {
    client.release(broken);
  }
}

/**
 * Passes when the database has exactly this program's schema.
 *
 * @throws FatalError `database_not_migrated`, `database_too_new`, `database_migration_changed`,
 * `database_migration_failed`
 */
export async function checkSchema(pool: pg.Pool, folder: string = MIGRATIONS_FOLDER): Promise<void> {
  const pending = findPending(await readMigrations(folder), await readLedger(pool));
  if (pending.length === 0) return;
  throw new FatalError(
    "database_not_migrated",
    "The database does not have this version's schema yet. Run `depositd migrate`, or set database.migrate to true.",
    { missing: pending.map((migration) => migration.name).join(", ") },
  );
}

async function readLedger(connection: pg.Pool | pg.PoolClient): Promise<LedgerRow[]> {
  const found = await connection.query<{ ledger: string | null }>(
    "SELECT to_regclass('_prisma_migrations') AS ledger",
  );
  if (found.rows[0]?.ledger === null) return [];
  const { rows } = await connection.query<LedgerRow>(
    `SELECT migration_name, checksum, finished_at IS NOT NULL AS finished
     FROM _prisma_migrations WHERE rolled_back_at IS NULL ORDER BY started_at`,
  );
  return rows;
}

function findPending(migrations: readonly Migration[], ledger: readonly LedgerRow[]): Migration[] {
  const known = new Map(migrations.map((migration) => [migration.name, migration]));
  for (const row of ledger) {
    const migration = known.get(row.migration_name);
    if (!row.finished) throw unfinished(row);
    if (migration === undefined) throw tooNew(row);
    if (!hasChecksum(migration, row.checksum)) throw changed(row);
  }
  const applied = new Set(ledger.map((row) => row.migration_name));
  return migrations.filter((migration) => !applied.has(migration.name));
}

async function apply(client: pg.PoolClient, migration: Migration, logger: Logger): Promise<void> {
  try {
    await client.query("BEGIN");
    await client.query(CREATE_LEDGER.replace("CREATE TABLE", "CREATE TABLE IF NOT EXISTS"));
    // clock_timestamp(): within a transaction now() stands still, and the two times would be the same.
    const { rows } = await client.query<{ id: string }>(
      `INSERT INTO _prisma_migrations (id, checksum, migration_name, started_at)
       VALUES (gen_random_uuid()::text, $1, $2, clock_timestamp()) RETURNING id`,
      [migration.checksum, migration.name],
    );
    await client.query(migration.sql);
    await client.query(
      "UPDATE _prisma_migrations SET finished_at = clock_timestamp(), applied_steps_count = 1 WHERE id = $1",
      [rows[0]?.id],
    );
    await client.query("COMMIT");
  } catch (rawError) {
    // The caller throws the connection away, and with it what is left of the transaction.
    const error = coerceError(rawError);
    throw new FatalError(
      "database_migration_failed",
      `The migration ${migration.name} failed and was undone: ${error.message}`,
      { migration: migration.name },
      error,
    );
  }
  logger.info("Applied migration", { migration: migration.name });
}

function tooNew(row: LedgerRow): FatalError {
  return new FatalError(
    "database_too_new",
    `The database has the migration ${row.migration_name}, which this depositd does not know. ` +
      "It was made by a newer version: run that one, or restore a backup from before the upgrade.",
    { migration: row.migration_name },
  );
}

function changed(row: LedgerRow): FatalError {
  return new FatalError(
    "database_migration_changed",
    `The migration ${row.migration_name} was applied with another content than the one this depositd brings. ` +
      "Restore prisma/migrations as it was released.",
    { migration: row.migration_name, applied_checksum: row.checksum },
  );
}

function unfinished(row: LedgerRow): FatalError {
  return new FatalError(
    "database_migration_failed",
    `The migration ${row.migration_name} was begun by another tool and did not finish. Look at the database, then ` +
      `run \`npx prisma migrate resolve --rolled-back ${row.migration_name}\`.`,
    { migration: row.migration_name },
  );
}
