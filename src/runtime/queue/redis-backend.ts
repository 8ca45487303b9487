/** The queue on Redis, through ioredis: for a fleet, and for thousands of jobs a second. */
import { Queue, Worker } from "bullmq";
import { Redis } from "ioredis";
import { coerceError } from "../../core/errors.ts";
import type { Logger } from "../logger.ts";
import {
  type JobProducer,
  type JobWorker,
  jobOptions,
  promoteJob,
  QUEUE_NAMES,
  type QueueBackend,
  type QueueName,
  streams,
  workerOptions,
} from "./backend.ts";
import type { OutageLog } from "./outage-log.ts";

/** Our keys in a Redis that others use too. Two deployments take two database numbers in the URL. */
const PREFIX = "depositd";

const COMMON = {
  connectTimeout: 5_000,
  keepAlive: 10_000,
  // 0.1, 0.2, 0.4, 0.8, 1.6, 2, 2, … seconds
  retryStrategy: (times: number) => Math.min(2_000, 100 * 2 ** Math.min(times - 1, 10)),
};

export function createRedisBackend(options: {
  readonly url: string;
  readonly logger: Logger;
  readonly outage: OutageLog;
}): QueueBackend {
  const { url, outage } = options;
  // A hint is given now or not at all, so nothing piles up here while Redis is away. Workers wait for it instead.
  const producer = new Redis(url, { ...COMMON, enableOfflineQueue: false, maxRetriesPerRequest: 0 });
  const consumer = new Redis(url, { ...COMMON, maxRetriesPerRequest: null });
  let isClosing = false;
  for (const connection of [producer, consumer]) {
    connection.on("error", (error) => {
      if (!isClosing) outage.begin(error);
    });
  }
  producer.on("ready", () => {
    outage.end();
    void warnOfEviction(producer, options.logger);
  });

  const queues = new Map(QUEUE_NAMES.map((name) => [name, createProducer(name, producer, outage)]));
  const workers: JobWorker[] = [];
  const queueOf = (name: QueueName): JobProducer => {
    const queue = queues.get(name);
    if (queue === undefined) throw new Error(`There is no queue ${name}`);
    // BullMQ itself would wait for the first connection without end.
    if (producer.status !== "ready" && outage.isOn()) throw new Error(`Redis is ${producer.status}`);
    return queue;
  };

  return {
    where: `${producer.options.host}:${producer.options.port}`,
    add: async (name, id, data, delayMs) => {
      await queueOf(name).add(name, data, jobOptions(id, delayMs));
    },
    promote: async (name, id) => promoteJob(queueOf(name), id),
    ping: async () => {
      await producer.ping();
    },
    prepare: () => Promise.resolve(),
    createWorker: (name, processor, concurrency) => {
      const worker = new Worker(name, processor, {
        ...workerOptions(concurrency),
        connection: consumer,
        prefix: PREFIX,
      });
      workers.push(worker);
      return worker;
    },
    close: async () => {
      isClosing = true;
      const isThere = producer.status === "ready";
      producer.disconnect();
      consumer.disconnect();
      // The connection that waits for jobs is each worker's own. While Redis is away its end is never told.
      const disconnected = Promise.allSettled(workers.map((worker) => worker.disconnect()));
      if (isThere) await disconnected;
    },
  };
}

function createProducer(name: QueueName, connection: Redis, outage: OutageLog): JobProducer {
  const queue = new Queue(name, { connection, prefix: PREFIX, streams });
  queue.on("error", (error) => outage.note(error));
  return queue;
}

/** A Redis that evicts keys drops jobs, and with them parts of BullMQ's own bookkeeping. */
async function warnOfEviction(connection: Redis, logger: Logger): Promise<void> {
  try {
    const policy = /^maxmemory_policy:(\S+)/m.exec(await connection.info("memory"))?.[1];
    if (policy === undefined || policy === "noeviction") return;
    logger.warn("Found a Redis that may drop jobs: set its maxmemory-policy to noeviction", { policy });
  } catch (rawError) {
    logger.debug("Could not ask Redis for its maxmemory-policy", { reason: coerceError(rawError).message });
  }
}
