/** One PostgreSQL for all test files, in a folder that is thrown away: real, only not durable. */
import { chmod, mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import pg from "pg";
import type { TestProject } from "vitest/node";
import { isProcessAlive } from "../db/embedded/cluster.ts";
import {
  deleteEmbeddedPostgres,
  type EmbeddedPostgres,
  startEmbeddedPostgres,
} from "../db/embedded-postgres.ts";
import { migrate } from "../db/migrate.ts";
import { systemClock } from "../runtime/clock.ts";
import { createLogger } from "../runtime/logger.ts";
import { systemRandom } from "../runtime/random.ts";

declare module "vitest" {
  interface ProvidedContext {
    databaseAdminUrl: string;
  }
}

/** Has the schema and nothing else; nobody connects to it, or it could not be cloned. */
export const TEMPLATE_DATABASE = "depositd_template";

const FOLDER_PREFIX = "depositd-test-";
const logger = createLogger("warn");

export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  await removeLeftovers();
  const folder = await mkdtemp(join(tmpdir(), `${FOLDER_PREFIX}${process.pid}-`));
  // PostgreSQL does not run as root: its own user must be able to pass.
  await chmod(folder, 0o755);
  const server = await start(folder);
  const tearDown = async () => {
    await server.stop();
    await remove(folder);
  };
  try {
    await createTemplate(server.url);
    project.provide("databaseAdminUrl", server.url);
    return tearDown;
  } catch (rawError) {
    await tearDown();
    throw rawError;
  }
}

function start(folder: string): Promise<EmbeddedPostgres> {
  return startEmbeddedPostgres({
    dataDir: folder,
    logger,
    clock: systemClock,
    random: systemRandom,
    settings: {
      fsync: "off",
      synchronous_commit: "off",
      full_page_writes: "off",
      max_connections: "300",
      shared_buffers: "128MB",
      autovacuum_naptime: "5s",
    },
  });
}

async function createTemplate(url: string): Promise<void> {
  const templateUrl = new URL(url);
  templateUrl.pathname = `/${TEMPLATE_DATABASE}`;
  const admin = new pg.Client({ connectionString: url });
  await admin.connect();
  await admin.query(`CREATE DATABASE ${TEMPLATE_DATABASE}`);
  await admin.end();
  const pool = new pg.Pool({ connectionString: templateUrl.href });
  await migrate(pool, logger);
  await pool.end();
}

/** A test run that was killed could not stop its server: the next one does. */
async function removeLeftovers(): Promise<void> {
  for (const name of await readdir(tmpdir())) {
    const pid = new RegExp(`^${FOLDER_PREFIX}(\\d+)-`).exec(name)?.[1];
    if (pid === undefined || isProcessAlive(Number(pid))) continue;
    const folder = join(tmpdir(), name);
    await start(folder).then((server) => server.stop());
    await remove(folder);
  }
}

async function remove(folder: string): Promise<void> {
  await deleteEmbeddedPostgres(folder);
  await rm(folder, { recursive: true, force: true });
}
