/**
 * The database, in two ways: `query` and `transaction` for SQL (everything that moves money is set-based SQL
 * in one transaction), and `prisma` for plain reads and writes of single rows. Both share one pool.
 */
import { PrismaPg } from "@prisma/adapter-pg";
import pg from "pg";
import { coerceError, TemporaryError } from "../core/errors.ts";
import type { Logger } from "../runtime/logger.ts";
import { PrismaClient } from "./generated/client.ts";

/** Runs one statement. Stores take it as their first parameter: inside a transaction they get the transaction. */
export interface Sql {
  /**
   * @param name for a statement that is run all the time and takes longer to plan than to run: each connection parses
   *   and plans it once under this name. One text for each name.
   */
  query<Row extends object>(text: string, values?: readonly unknown[], name?: string): Promise<Row[]>;
}

export interface Database extends Sql {
  readonly prisma: PrismaClient;
  /** The pool itself, for those that need a connection of their own (the queue, LISTEN, COPY). */
  readonly pool: pg.Pool;
  /**
   * Runs `work` in one READ COMMITTED transaction. It commits when `work` resolves and rolls back when it
   * rejects. When the connection breaks during COMMIT the outcome is unknown and a `TemporaryError` is thrown:
   * run the same work again, under the same keys, never "as new".
   */
  transaction<Result>(work: (tx: Sql) => Promise<Result>): Promise<Result>;
  close(): Promise<void>;
}

export interface DatabaseOptions {
  readonly url: string;
  readonly maxConnections: number;
  readonly logger: Logger;
  /** Shown in `pg_stat_activity`. */
  readonly applicationName?: string;
}

/**
 * Statements here touch few rows by index, however large their tables are. With the default cost of a random page
 * (4, a spinning disk) the planner reads small tables whole instead; compiling such statements costs more than
 * running them.
 *
 * A transaction here never waits for anything but the database. One that does is of a process that is frozen, or on
 * a machine that is gone, and it would keep its locks, the chain's row among them, from whoever takes over.
 */
const SESSION_SETTINGS =
  "SET random_page_cost = 1.1; SET jit = off; SET idle_in_transaction_session_timeout = '10s'";

const INT8 = 20;

/** int8 is read as `bigint`: block numbers and amounts never pass through a double. Text and bytea stay as they are. */
const types: pg.CustomTypesConfig = {
  getTypeParser: (oid, format) =>
    (oid as number) === INT8 && format !== "binary"
      ? (text: string) => BigInt(text)
      : pg.types.getTypeParser(oid as number, format as "text"),
};

export function openDatabase(options: DatabaseOptions): Database {
  const pool = new pg.Pool({
    connectionString: options.url,
    max: options.maxConnections,
    connectionTimeoutMillis: 10_000,
    application_name: options.applicationName ?? "depositd",
    keepAlive: true,
    types,
    onConnect: async (client) => {
      await client.query(SESSION_SETTINGS);
    },
  });
  surviveBrokenConnections(pool, options.logger);
  // Prisma reads int8 with its own parser, so it gets a pool of its own.
  const prismaPool = new pg.Pool({
    connectionString: options.url,
    max: 2,
    application_name: options.applicationName ?? "depositd",
  });
  surviveBrokenConnections(prismaPool, options.logger);
  const prisma = new PrismaClient({ adapter: new PrismaPg(prismaPool, { disposeExternalPool: true }) });

  return {
    prisma,
    pool,
    query: async (text, values, name) => run(pool, text, values, name),
    transaction: (work) => transaction(pool, work),
    close: async () => {
      await prisma.$disconnect();
      if (!pool.ended) await pool.end();
    },
  };
}

/**
 * A connection that breaks is replaced at its next use; its `error` event ends the process if nobody listens. The
 * pool listens while it is idle, whoever asked for it while it is used, and nobody in the moment between the two:
 * so each connection gets a listener for life. Whoever uses it hears of the error from its own query.
 */
function surviveBrokenConnections(pool: pg.Pool, logger: Logger): void {
  pool.on("error", (error) => logger.warn("Lost an idle database connection", { error }));
  pool.on("connect", (client) => client.on("error", () => undefined));
}

async function transaction<Result>(pool: pg.Pool, work: (tx: Sql) => Promise<Result>): Promise<Result> {
  const client = await pool.connect().catch((rawError: unknown) => {
    throw translate(rawError);
  });
  let broken: Error | undefined;
  const noteBroken = (error: Error) => {
    broken = error;
  };
  client.on("error", noteBroken);
  try {
    await run(client, "BEGIN");
    const result = await work({ query: (text, values, name) => run(client, text, values, name) });
    await run(client, "COMMIT");
    return result;
  } catch (rawError) {
    // Whatever went wrong, the transaction must not live on; a connection that cannot even roll back is thrown away.
    await client.query("ROLLBACK").catch((rollbackError: unknown) => {
      broken ??= coerceError(rollbackError);
    });
    throw rawError;
  } finally {
    client.off("error", noteBroken);
    client.release(broken);
  }
}

async function run<Row extends object>(
  connection: pg.Pool | pg.PoolClient,
  text: string,
  values?: readonly unknown[],
  name?: string,
): Promise<Row[]> {
  try {
    const query = {
      text,
      values: values === undefined ? [] : [...values],
      ...(name === undefined ? {} : { name }),
    };
    const result = await connection.query<Row>(query);
    return result.rows;
  } catch (rawError) {
    throw translate(rawError);
  }
}

/**
 * SQLSTATE classes after which the same statement may succeed: 08 connection, 25P03 idle too long in a transaction,
 * 40 rollback (deadlock, serialization), 53 resources (disk full, too many connections), 57P shutdown and restart.
 */
const TEMPORARY_STATES = /^(08|25P03|40|53|57P)/;
const TEMPORARY_SYSTEM_CODES = new Set([
  "ECONNREFUSED",
  "ECONNRESET",
  "ENOENT",
  "EPIPE",
  "ETIMEDOUT",
  "ENOTFOUND",
  "EAI_AGAIN",
]);

function translate(rawError: unknown): Error {
  const error = coerceError(rawError);
  const code = (error as { code?: unknown }).code;
  const isTemporary =
    typeof code === "string"
      ? TEMPORARY_STATES.test(code) || TEMPORARY_SYSTEM_CODES.has(code)
      : /Connection terminated|timeout exceeded when trying to connect|Client has encountered a connection error/.test(
          error.message,
        );
  if (!isTemporary) return error;
  return new TemporaryError(
    "database_unreachable",
    `The database did not do its part: ${error.message}`,
    {
      sqlState: typeof code === "string" ? code : null,
    },
    error,
  );
}

/** True for an error of PostgreSQL with this SQLSTATE, e.g. `23505` (unique violation). */
export function hasSqlState(error: unknown, state: string): boolean {
  return error instanceof Error && (error as { code?: unknown }).code === state;
}
