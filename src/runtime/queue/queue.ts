/**
 * The queue: BullMQ behind one small face, on Redis or on the daemon's own PostgreSQL.
 *
 * It is the clock and the crew, never the truth. A job carries ids only and says "look at this"; every fact and
 * every deadline is a row elsewhere, and a sweep finds what a lost job would have spoken of. So nothing here
 * makes its caller fail or wait: a nudge that cannot be given is lost, and counted.
 */
import { coerceError, TemporaryError } from "../../core/errors.ts";
import type { Clock } from "../clock.ts";
import type { QueueConfig } from "../config/config.ts";
import type { Logger } from "../logger.ts";
import type { QueueBackend, QueueName } from "./backend.ts";
import { createOutageLog, type OutageLog } from "./outage-log.ts";
import { createPostgresBackend } from "./postgres-backend.ts";
import { createQueueWorker, type QueueWorker, type WorkOptions } from "./queue-worker.ts";
import { createRedisBackend } from "./redis-backend.ts";

export type { QueueName } from "./backend.ts";
export type { JobOutcome, QueueJob, QueueWorker, WorkOptions } from "./queue-worker.ts";

export interface NewJob {
  /** Letters, digits, `-`, `_` and `.`; not digits alone. While a job of this id exists, adding it changes nothing. */
  readonly id: string;
  readonly data: Readonly<Record<string, string | number>>;
  /** By this machine's clock. */
  readonly delayMs?: number;
}

export interface Queue {
  /**
   * Adds a job, unless one of its id exists: waiting, delayed or just running. Does not wait long: when the queue
   * is away the nudge is lost. Rejects only for an id that no queue takes.
   */
  nudge(name: QueueName, job: NewJob): Promise<void>;
  /** Makes a delayed job run now. `false`: there is no such delayed job, or the queue is away. Never rejects. */
  promote(name: QueueName, id: string): Promise<boolean>;
  /** Takes jobs until the queue is closed. Waits for a queue that is away, and survives its restarts. */
  work(name: QueueName, options: WorkOptions): QueueWorker;
  /** @throws TemporaryError `queue_unreachable` */
  ping(): Promise<void>;
  /**
   * Takes no more jobs, aborts the signal of those that run, and waits for them; after `deadlineMs` hands what
   * still runs back to other workers. May be called again.
   */
  close(deadlineMs: number): Promise<void>;
}

export interface QueueOptions {
  readonly config: QueueConfig;
  /** Where the queue lives when `config.url` is `null`. */
  readonly databaseUrl: string;
  readonly logger: Logger;
  readonly clock: Clock;
  /** Called for each nudge or promotion that was lost. */
  readonly onHintLost?: (name: QueueName) => void;
}

/** Longer than any answer of a queue that is well; short against a block. */
const HINT_TIMEOUT_MS = 1_000;
const PING_TIMEOUT_MS = 3_000;

/** Does not connect by itself and does not fail: a queue that is away is waited for by its workers. */
export function createQueue(options: QueueOptions): Queue {
  const { config, logger, clock } = options;
  const outage = createOutageLog(logger, clock);
  const backend =
    config.url === null
      ? createPostgresBackend({ url: options.databaseUrl, clock, outage })
      : createRedisBackend({ url: config.url, logger, outage });
  return createQueueOn(backend, outage, options);
}

function createQueueOn(backend: QueueBackend, outage: OutageLog, options: QueueOptions): Queue {
  const { logger, clock } = options;
  const workers: QueueWorker[] = [];
  let closing: Promise<void> | undefined;

  let isProbing = false;
  const give = async <Result>(name: QueueName, ask: () => Promise<Result>): Promise<Result | undefined> => {
    try {
      const result = await withTimeout(ask(), HINT_TIMEOUT_MS, clock);
      outage.end();
      return result;
    } catch (rawError) {
      if (closing === undefined) outage.begin(coerceError(rawError));
      options.onHintLost?.(name);
      return undefined;
    }
  };
  /** `undefined`: the hint is lost. While the queue is away nobody waits: one hint at a time looks if it is back. */
  const hint = async <Result>(name: QueueName, ask: () => Promise<Result>): Promise<Result | undefined> => {
    if (!outage.isOn()) return give(name, ask);
    if (isProbing) {
      options.onHintLost?.(name);
      return undefined;
    }
    isProbing = true;
    void give(name, ask).finally(() => {
      isProbing = false;
    });
    return undefined;
  };

  const close = async (deadlineMs: number) => {
    await Promise.all(workers.map((worker) => worker.close(deadlineMs)));
    await withTimeout(backend.close(), HINT_TIMEOUT_MS, clock).catch((rawError: unknown) =>
      logger.warn("Closed the queue without its answer", { reason: coerceError(rawError).message }),
    );
  };

  return {
    nudge: async (name, job) => {
      checkId(job.id);
      await hint(name, () => backend.add(name, job.id, job.data, job.delayMs ?? 0));
    },
    promote: async (name, id) => (await hint(name, () => backend.promote(name, id))) ?? false,
    work: (name, workOptions) => {
      const worker = createQueueWorker(name, workOptions, { backend, outage, logger, clock });
      workers.push(worker);
      return worker;
    },
    ping: async () => {
      try {
        await withTimeout(backend.ping(), PING_TIMEOUT_MS, clock);
      } catch (rawError) {
        const error = coerceError(rawError);
        throw new TemporaryError(
          "queue_unreachable",
          `Could not reach the queue on ${backend.where}: ${error.message || String((error as { code?: unknown }).code)}`,
          { at: backend.where },
          error,
        );
      }
    },
    close: (deadlineMs) => {
      closing ??= close(deadlineMs);
      return closing;
    },
  };
}

/** BullMQ takes digits alone for one of its own ids, and `:` for one of its keys. */
function checkId(id: string): void {
  if (/^[\w.-]+$/.test(id) && !/^\d+$/.test(id)) return;
  throw new Error(`A job's id may hold letters, digits, "-", "_" and ".", and not digits alone: ${id}`);
}

async function withTimeout<Result>(work: Promise<Result>, timeoutMs: number, clock: Clock): Promise<Result> {
  const finished = new AbortController();
  const late = clock.sleep(timeoutMs, finished.signal).then(() => {
    throw new TemporaryError("queue_unreachable", `The queue did not answer within ${timeoutMs} ms`);
  });
  // Whichever comes second has nobody left to tell.
  late.catch(() => undefined);
  work.catch(() => undefined);
  try {
    return await Promise.race([work, late]);
  } finally {
    finished.abort();
  }
}
