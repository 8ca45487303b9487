/** Opens the database that the configuration names: an own one in `dataDir`, or the operator's. */
import pg from "pg";
import { coerceError, FatalError, TemporaryError } from "../core/errors.ts";
import type { Clock } from "../runtime/clock.ts";
import type { Config } from "../runtime/config/config.ts";
import type { Logger } from "../runtime/logger.ts";
import type { Random } from "../runtime/random.ts";
import { type Database, openDatabase } from "./database.ts";
import { type EmbeddedPostgres, startEmbeddedPostgres } from "./embedded-postgres.ts";
import { checkSchema, migrate } from "./migrate.ts";

export interface OpenedDatabase {
  readonly database: Database;
  /** With a password: never log it. */
  readonly url: string;
  /**
   * Checks the server and its schema, and brings the schema up to date if so asked. Needed once before use; may
   * be called again after a `TemporaryError`.
   *
   * @throws TemporaryError `database_unreachable`, in one line with host and port
   * @throws FatalError `database_too_old`, and those of `migrate` and `checkSchema`
   */
  prepare(): Promise<void>;
  /** Closes every connection, and stops an embedded server that nobody else uses. May be called again. */
  close(): Promise<void>;
}

export interface OpenDatabaseOptions {
  readonly logger: Logger;
  readonly clock: Clock;
  readonly random: Random;
  /** Bring the schema up to date; else a schema that is not up to date is refused. */
  readonly migrate: boolean;
  /** Shown in `pg_stat_activity`. */
  readonly applicationName?: string;
}

/** NULLS NOT DISTINCT came with 15. */
const OLDEST_MAJOR_VERSION = 15;
const CONNECT_TIMEOUT_MS = 10_000;

/**
 * Opens and prepares it.
 *
 * @throws those of `prepare` and `openUnpreparedDatabase`: the caller decides about trying again
 */
export async function openConfiguredDatabase(
  config: Pick<Config, "database" | "dataDir">,
  options: OpenDatabaseOptions,
): Promise<OpenedDatabase> {
  const opened = await openUnpreparedDatabase(config, options);
  try {
    await opened.prepare();
    return opened;
  } catch (rawError) {
    await opened.close();
    throw rawError;
  }
}

/**
 * Opens it without a single connection, so that what depends on it can be built while it is away.
 *
 * @throws FatalError `embedded_database_failed` when the own one cannot be started
 */
export async function openUnpreparedDatabase(
  config: Pick<Config, "database" | "dataDir">,
  options: OpenDatabaseOptions,
): Promise<OpenedDatabase> {
  const embedded = config.database.url === null ? await startEmbedded(config.dataDir, options) : undefined;
  const url = embedded?.url ?? config.database.url ?? "";
  const database = openDatabase({
    url,
    maxConnections: config.database.maxConnections,
    logger: options.logger,
    applicationName: options.applicationName ?? "depositd",
  });
  let closed: Promise<void> | undefined;
  const close = async () => {
    await database.close();
    await embedded?.stop();
  };
  return {
    database,
    url,
    prepare: async () => {
      await checkServer(url);
      if (options.migrate) await migrate(database.pool, options.logger);
      else await checkSchema(database.pool);
    },
    close: () => {
      closed ??= close();
      return closed;
    },
  };
}

function startEmbedded(dataDir: string, options: OpenDatabaseOptions): Promise<EmbeddedPostgres> {
  const { logger, clock, random } = options;
  return startEmbeddedPostgres({ dataDir, logger, clock, random });
}

/** Connects once, before any pool hides why it cannot. */
async function checkServer(url: string): Promise<void> {
  const client = new pg.Client({
    connectionString: url,
    connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
    application_name: "depositd check",
  });
  const where = `${client.host}:${client.port}`;
  let version: number;
  try {
    await client.connect();
    const { rows } = await client.query<{ version: string }>(
      "SELECT current_setting('server_version_num') AS version",
    );
    version = Math.floor(Number(rows[0]?.version) / 10_000);
  } catch (rawError) {
    throw unreachable(where, client.database ?? "", coerceError(rawError));
  } finally {
    await client.end().catch(() => undefined);
  }
  if (version >= OLDEST_MAJOR_VERSION) return;
  throw new FatalError(
    "database_too_old",
    `The database at ${where} is PostgreSQL ${version}; depositd needs ${OLDEST_MAJOR_VERSION} or later.`,
    { version },
  );
}

function unreachable(where: string, name: string, error: Error): TemporaryError {
  // A host with several addresses fails with an error without words, but with a code.
  const reason = error.message || String((error as { code?: unknown }).code);
  return new TemporaryError(
    "database_unreachable",
    `Could not reach the database ${name} at ${where}: ${reason}`,
    { database: name, at: where },
    error,
  );
}
