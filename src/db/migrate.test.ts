import { cp, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import pg from "pg";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { silentLogger } from "../runtime/logger.ts";
import { createDatabase, dropDatabase } from "../testing/database.ts";
import { checkSchema, migrate } from "./migrate.ts";
import { MIGRATIONS_FOLDER, readMigrations } from "./migration-files.ts";

let name: string;
let pool: pg.Pool;
let folder: string;

beforeEach(async () => {
  const created = await createDatabase();
  name = created.name;
  pool = new pg.Pool({ connectionString: created.url, max: 4 });
  folder = await mkdtemp(join(tmpdir(), "depositd-migrations-"));
  await cp(MIGRATIONS_FOLDER, folder, { recursive: true });
});

afterEach(async () => {
  await pool.end();
  await dropDatabase(name);
  await rm(folder, { recursive: true });
});

async function addMigration(migrationName: string, sql: string): Promise<void> {
  await mkdir(join(folder, migrationName), { recursive: true });
  await writeFile(join(folder, migrationName, "migration.sql"), sql);
}

describe("migrate", () => {
  it("applies every migration to an empty database, and none the second time", async () => {
    const names = (await readMigrations(MIGRATIONS_FOLDER)).map((migration) => migration.name);
    expect(names.length).toBeGreaterThan(0);
    expect(await migrate(pool, silentLogger)).toEqual({ applied: names });
    expect(await migrate(pool, silentLogger)).toEqual({ applied: [] });
    await checkSchema(pool);
  });

  it("writes the ledger as Prisma does", async () => {
    await migrate(pool, silentLogger);
    const [spine] = await readMigrations(MIGRATIONS_FOLDER);
    const { rows } = await pool.query("SELECT * FROM _prisma_migrations ORDER BY migration_name LIMIT 1");
    expect(rows).toEqual([
      {
        id: expect.stringMatching(/^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/),
        checksum: spine?.checksum,
        finished_at: expect.any(Date),
        migration_name: spine?.name,
        logs: null,
        rolled_back_at: null,
        started_at: expect.any(Date),
        applied_steps_count: 1,
      },
    ]);
  });

  it("applies each migration once when several processes start at once", async () => {
    await addMigration("9998_slow", "SELECT pg_sleep(0.2); CREATE TABLE slow (id int);");
    const results = await Promise.all([1, 2, 3].map(() => migrate(pool, silentLogger, folder)));
    const applied = results.flatMap((result) => result.applied);
    expect(new Set(applied).size).toBe(applied.length);
    const { rows } = await pool.query<{ n: number }>("SELECT count(*)::int AS n FROM _prisma_migrations");
    expect(rows[0]?.n).toBe(applied.length);
  });

  it("undoes a migration that fails in the middle, keeps those before it, and can go on later", async () => {
    await addMigration("9998_broken", "CREATE TABLE half (id int); SELECT 1/0;");
    await expect(migrate(pool, silentLogger, folder)).rejects.toMatchObject({
      code: "database_migration_failed",
      message: expect.stringContaining("9998_broken failed and was undone: division by zero"),
    });
    const { rows } = await pool.query(
      "SELECT to_regclass('half') AS half, to_regclass('deposits') AS deposits",
    );
    expect(rows).toEqual([{ half: null, deposits: "deposits" }]);

    await addMigration("9998_broken", "CREATE TABLE half (id int);");
    expect(await migrate(pool, silentLogger, folder)).toEqual({ applied: ["9998_broken"] });
  });

  it("H9: refuses a database that is newer than the program", async () => {
    await addMigration("9999_future", "CREATE TABLE future (id int);");
    await migrate(pool, silentLogger, folder);
    const refusal = { code: "database_too_new", message: expect.stringContaining("9999_future") };
    await expect(migrate(pool, silentLogger)).rejects.toMatchObject(refusal);
    await expect(checkSchema(pool)).rejects.toMatchObject(refusal);
  });

  it("refuses a migration whose content changed after it was applied", async () => {
    await migrate(pool, silentLogger, folder);
    const [spine] = await readMigrations(folder);
    await addMigration(spine?.name ?? "", `${spine?.sql}\nSELECT 1;\n`);
    const refusal = {
      code: "database_migration_changed",
      message: expect.stringContaining(spine?.name ?? ""),
    };
    await expect(migrate(pool, silentLogger, folder)).rejects.toMatchObject(refusal);
    await expect(checkSchema(pool, folder)).rejects.toMatchObject(refusal);
  });

  it("takes a migration whose line ends alone changed for the same", async () => {
    await migrate(pool, silentLogger, folder);
    for (const migration of await readMigrations(folder)) {
      await addMigration(migration.name, migration.sql.replaceAll("\n", "\r\n"));
    }
    expect(await migrate(pool, silentLogger, folder)).toEqual({ applied: [] });
  });

  it("refuses to go on after a migration that another tool left unfinished", async () => {
    await migrate(pool, silentLogger);
    await pool.query("UPDATE _prisma_migrations SET finished_at = NULL");
    await expect(migrate(pool, silentLogger)).rejects.toMatchObject({ code: "database_migration_failed" });
    await pool.query("UPDATE _prisma_migrations SET rolled_back_at = now()");
    await expect(checkSchema(pool)).rejects.toMatchObject({ code: "database_not_migrated" });
  });
});

describe("checkSchema", () => {
  it("refuses a database without the schema and says what to run", async () => {
    await expect(checkSchema(pool)).rejects.toMatchObject({
      code: "database_not_migrated",
      message: expect.stringContaining("depositd migrate"),
    });
  });
});
