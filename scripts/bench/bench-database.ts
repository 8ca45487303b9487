/** A PostgreSQL of the benchmark's own: embedded, in a folder that is thrown away, and durable as in production. */
import { chmod, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import pg from "pg";
import { type Database, openDatabase } from "../../src/db/database.ts";
import { deleteEmbeddedPostgres, startEmbeddedPostgres } from "../../src/db/embedded-postgres.ts";
import { migrate } from "../../src/db/migrate.ts";
import { systemClock } from "../../src/runtime/clock.ts";
import { silentLogger } from "../../src/runtime/logger.ts";
import { systemRandom } from "../../src/runtime/random.ts";

export interface BenchServer {
  /** A migrated database with nothing in it. Closed and dropped with the server. */
  createDatabase(name: string): Promise<BenchDatabase>;
  stop(): Promise<void>;
}

export interface BenchDatabase {
  readonly url: string;
  readonly database: Database;
}

export async function startBenchServer(): Promise<BenchServer> {
  const folder = await mkdtemp(join(tmpdir(), "depositd-bench-"));
  // PostgreSQL does not run as root: its own user must be able to pass.
  await chmod(folder, 0o755);
  const server = await startEmbeddedPostgres({
    dataDir: folder,
    logger: silentLogger,
    clock: systemClock,
    random: systemRandom,
    // When a row was committed is read from the server itself; one extra write per commit.
    settings: { track_commit_timestamp: "on" },
  });
  const opened: Database[] = [];
  return {
    createDatabase: async (name) => {
      const made = await createDatabase(server.url, name);
      opened.push(made.database);
      return made;
    },
    stop: async () => {
      for (const database of opened) await database.close();
      await server.stop();
      await deleteEmbeddedPostgres(folder);
      await rm(folder, { recursive: true, force: true });
    },
  };
}

async function createDatabase(serverUrl: string, name: string): Promise<BenchDatabase> {
  const admin = new pg.Client({ connectionString: serverUrl });
  await admin.connect();
  await admin.query(`CREATE DATABASE ${name}`);
  await admin.end();
  const url = new URL(serverUrl);
  url.pathname = `/${name}`;
  const database = openDatabase({ url: url.href, maxConnections: 10, logger: silentLogger });
  await migrate(database.pool, silentLogger);
  return { url: url.href, database };
}
