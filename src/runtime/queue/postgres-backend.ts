/**
 * The queue on PostgreSQL, in a schema of its own beside our tables: nothing more to install for one daemon.
 * BullMQ waits for jobs by LISTEN, so they start as promptly as on Redis.
 */
import { createPostgresBackend as bullmqOnPostgres, Queue, runMigrations, Worker } from "bullmq";
import pg from "pg";
import { coerceError } from "../../core/errors.ts";
import type { Clock } from "../clock.ts";
import {
  type JobProducer,
  type JobWorker,
  jobOptions,
  promoteJob,
  type QueueBackend,
  type QueueName,
  streams,
  workerOptions,
} from "./backend.ts";
import type { OutageLog } from "./outage-log.ts";

const SCHEMA = "bullmq";
/** Two workers listen on one each; the others carry short statements. */
const MAX_CONNECTIONS = 8;
const RETRY_MS = 250;

export function createPostgresBackend(options: {
  readonly url: string;
  readonly clock: Clock;
  readonly outage: OutageLog;
}): QueueBackend {
  const { outage } = options;
  const pool = new pg.Pool({
    connectionString: withSettings(options.url),
    max: MAX_CONNECTIONS,
    connectionTimeoutMillis: 5_000,
    keepAlive: true,
    application_name: "depositd queue",
  });
  // An idle connection that breaks is replaced at its next use; without a listener it would end the process.
  pool.on("error", (error) => outage.note(error));
  // Nor is anybody listening in the moment in which one is handed out.
  pool.on("connect", (client) => client.on("error", () => undefined));
  const connection = patient(pool, options.clock, outage);
  const queues = new Map<QueueName, JobProducer>();
  const workers: JobWorker[] = [];
  let prepared: Promise<void> | undefined;

  const prepare = () => {
    // Only a success is remembered.
    prepared ??= migrate(pool).catch((rawError: unknown) => {
      prepared = undefined;
      throw rawError;
    });
    return prepared;
  };
  const queueOf = async (name: QueueName): Promise<JobProducer> => {
    const existing = queues.get(name);
    if (existing !== undefined) return existing;
    await prepare();
    const queue = new Queue(name, { connection, streams }, bullmqOnPostgres);
    queue.on("error", (error) => outage.note(error));
    // BullMQ remembers a first connection that failed for ever, so only a queue that is ready is kept.
    await queue.waitUntilReady();
    queues.set(name, queue);
    return queue;
  };

  return {
    where: whereIs(options.url),
    add: async (name, id, data, delayMs) => {
      await (await queueOf(name)).add(name, data, jobOptions(id, delayMs));
    },
    promote: async (name, id) => promoteJob(await queueOf(name), id),
    ping: async () => {
      await pool.query("SELECT 1");
    },
    prepare,
    createWorker: (name, processor, concurrency) => {
      const worker = new Worker(
        name,
        processor,
        { ...workerOptions(concurrency), connection },
        bullmqOnPostgres,
      );
      workers.push(worker);
      return worker;
    },
    close: async () => {
      await Promise.allSettled([...queues.values(), ...workers].map((part) => part.disconnect()));
      await pool.end();
    },
  };
}

async function migrate(pool: pg.Pool): Promise<void> {
  const client = await pool.connect();
  let broken: Error | undefined;
  try {
    await runMigrations(client, SCHEMA);
  } catch (rawError) {
    broken = coerceError(rawError);
    throw broken;
  } finally {
    client.release(broken);
  }
}

/**
 * The pool as BullMQ sees it. Its workers try again at once after an error they do not know for a lost
 * connection, such as those of a server that is starting up; that would be a busy loop, so they hear of it late.
 */
function patient(pool: pg.Pool, clock: Clock, outage: OutageLog) {
  const tell = async (rawError: unknown): Promise<never> => {
    const error = coerceError(rawError);
    if (isOutage(error)) {
      outage.begin(error);
      await clock.sleep(RETRY_MS);
    }
    throw error;
  };
  const connection = {
    options: pool.options,
    query: (text: string, values?: unknown[]) =>
      pool.query(text, values).then((result) => {
        outage.end();
        return result;
      }, tell),
    connect: () => pool.connect().catch(tell),
    // The pool is ours to end, and its errors are ours to hear.
    end: () => Promise.resolve(),
    on: () => connection,
    removeAllListeners: () => connection,
  };
  return connection;
}

/** Anything but an answer about the statement itself: those have a SQLSTATE of another class, or BullMQ's own. */
function isOutage(error: Error): boolean {
  const code = (error as { code?: unknown }).code;
  return typeof code !== "string" || code.length !== 5 || /^(08|53|57|XX)/.test(code);
}

/**
 * BullMQ names its tables without a schema. And no job is worth waiting for a disk: what a crash of the server
 * takes away of the last moments, a sweep finds.
 */
function withSettings(url: string): string {
  const parsed = new URL(url);
  const options = parsed.searchParams.get("options");
  parsed.searchParams.set(
    "options",
    `${options ?? ""} -c search_path=${SCHEMA} -c synchronous_commit=off`.trim(),
  );
  return parsed.href;
}

function whereIs(url: string): string {
  const { hostname, port } = new URL(url);
  return `${hostname}:${port === "" ? "5432" : port}`;
}
