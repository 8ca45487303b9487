/** Takes the jobs of one queue and gives them to a handler. */
import { DelayedError, type Job, WaitingError } from "bullmq";
import { coerceError } from "../../core/errors.ts";
import type { Clock } from "../clock.ts";
import type { Logger } from "../logger.ts";
import type { JobWorker, QueueBackend, QueueName } from "./backend.ts";
import type { OutageLog } from "./outage-log.ts";

export interface QueueJob {
  readonly id: string;
  /** As it came from the queue: others can write there, so check it. */
  readonly data: unknown;
}

/** A job that came too early asks to come again then; any other is done with. */
// biome-ignore lint/suspicious/noConfusingVoidType: a handler without a result is an async function that returns nothing
export type JobOutcome = { readonly againInMs: number } | void;

export interface WorkOptions {
  /** Jobs at once in this process. */
  readonly concurrency: number;
  /**
   * Must bear being called twice for the same job, also at once. What it throws is logged and the job is gone:
   * the sweep finds what it left undone. The signal aborts when the queue closes: finish soon.
   */
  handle(job: QueueJob, signal: AbortSignal): Promise<JobOutcome>;
}

export interface QueueWorker {
  readonly name: QueueName;
  /** As `Queue.close`, for this worker alone. */
  close(deadlineMs: number): Promise<void>;
}

interface Parts {
  readonly backend: QueueBackend;
  readonly outage: OutageLog;
  readonly logger: Logger;
  readonly clock: Clock;
}

interface RunningJob {
  readonly job: Job<unknown, void>;
  readonly token: string;
}

const RETRY_MS = 1_000;
const HAND_BACK_TIMEOUT_MS = 1_000;

export function createQueueWorker(name: QueueName, options: WorkOptions, parts: Parts): QueueWorker {
  const { clock, logger } = parts;
  const stopping = new AbortController();
  const running = new Set<RunningJob>();
  let worker: JobWorker | undefined;
  let closed: Promise<void> | undefined;

  const process = async (job: Job<unknown, void>, token = ""): Promise<void> => {
    // Fetched in the moment of closing: somebody else shall have it.
    if (stopping.signal.aborted) return handBack({ job, token });
    const entry = { job, token };
    running.add(entry);
    try {
      const outcome = await options.handle({ id: job.id ?? "", data: job.data }, stopping.signal);
      if (outcome === undefined) return;
      await job.moveToDelayed(clock.now() + outcome.againInMs, token);
    } finally {
      running.delete(entry);
    }
    throw new DelayedError();
  };

  const start = async () => {
    while (!stopping.signal.aborted) {
      try {
        await parts.backend.prepare();
        if (stopping.signal.aborted) return;
        worker = parts.backend.createWorker(name, process, options.concurrency);
        listen(name, worker, parts, stopping.signal);
        await worker.waitUntilReady();
        parts.outage.end();
        return await worker.run();
      } catch (rawError) {
        if (stopping.signal.aborted) return;
        parts.outage.begin(coerceError(rawError));
        await worker?.close(true);
        await clock.sleep(RETRY_MS, stopping.signal);
      }
    }
  };

  const close = async (deadlineMs: number) => {
    stopping.abort();
    if (worker === undefined) return;
    if (await isDoneWithin(worker.close(), deadlineMs, clock)) return;
    logger.warn("Handed back jobs that did not end in time", { queue: name, job_count: running.size });
    // They may still end here: two that do the same is what every handler bears anyway.
    await isDoneWithin(Promise.allSettled([...running].map(moveToWaiting)), HAND_BACK_TIMEOUT_MS, clock);
  };

  start().catch((rawError: unknown) =>
    logger.error("A queue worker ended", { queue: name, error: coerceError(rawError) }),
  );
  return {
    name,
    close: (deadlineMs) => {
      closed ??= close(deadlineMs);
      return closed;
    },
  };
}

function listen(name: QueueName, worker: JobWorker, { outage, logger }: Parts, stopping: AbortSignal): void {
  worker.on("error", (error) => {
    if (!stopping.aborted) outage.note(error);
  });
  worker.on("failed", (job, error) => logger.error("A job failed", { queue: name, job_id: job?.id, error }));
  worker.on("stalled", (jobId) =>
    logger.warn("Took over a job whose worker was lost", { queue: name, job_id: jobId }),
  );
}

async function handBack(entry: RunningJob): Promise<never> {
  await moveToWaiting(entry);
  throw new WaitingError();
}

function moveToWaiting({ job, token }: RunningJob): Promise<unknown> {
  return job.moveToWait(token);
}

async function isDoneWithin(work: Promise<unknown>, timeoutMs: number, clock: Clock): Promise<boolean> {
  const finished = new AbortController();
  const done = work.then(
    () => true,
    () => true,
  );
  const late = clock.sleep(timeoutMs, finished.signal).then(() => false);
  const result = await Promise.race([done, late]);
  finished.abort();
  return result;
}
