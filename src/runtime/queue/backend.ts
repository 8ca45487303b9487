/** What Redis and PostgreSQL have in common as homes of the queue, and the options that both get. */
import type { Job, JobsOptions, Processor, WorkerOptions } from "bullmq";

export const QUEUE_NAMES = ["settle", "deliver"] as const;
export type QueueName = (typeof QUEUE_NAMES)[number];

export type JobData = Readonly<Record<string, string | number>>;
export type JobProcessor = Processor<unknown, void>;

/** What we need of BullMQ's `Queue`, whose type differs between its backends. */
export interface JobProducer {
  add(name: string, data: JobData, options: JobsOptions): Promise<unknown>;
  getBackend(): { promote(id: string): Promise<void> };
  disconnect(): Promise<void>;
}

/** The same of its `Worker`. */
export interface JobWorker {
  on(event: "error", listener: (error: Error) => void): unknown;
  on(event: "failed", listener: (job: Job | undefined, error: Error) => void): unknown;
  on(event: "stalled", listener: (jobId: string) => void): unknown;
  waitUntilReady(): Promise<unknown>;
  run(): Promise<void>;
  close(force?: boolean): Promise<void>;
  disconnect(): Promise<void>;
}

export interface QueueBackend {
  /** Host and port, for messages. */
  readonly where: string;
  add(name: QueueName, id: string, data: JobData, delayMs: number): Promise<void>;
  promote(name: QueueName, id: string): Promise<boolean>;
  ping(): Promise<void>;
  /** To be called before each `createWorker`; again when it rejected. */
  prepare(): Promise<void>;
  /** Neither ready nor running yet. */
  createWorker(name: QueueName, processor: JobProcessor, concurrency: number): JobWorker;
  /** Ends every connection, also under workers that still run. */
  close(): Promise<void>;
}

/**
 * Nothing of a job is kept when it ends: adding a job whose id exists *in any state* does nothing and says
 * nothing, so a kept one would block its id for ever. No attempts either: what is to be tried again is a row.
 */
export function jobOptions(id: string, delayMs: number): JobsOptions {
  return { jobId: id, delay: delayMs, attempts: 1, removeOnComplete: true, removeOnFail: true };
}

/** Few events are kept: nobody reads them. */
export const streams = { events: { maxLen: 100 } };

export function workerOptions(concurrency: number): Omit<WorkerOptions, "connection"> {
  return {
    concurrency,
    autorun: false,
    // A job whose worker was killed is taken by another after 30 to 60 seconds; the sweeps are quicker.
    lockDuration: 30_000,
    stalledInterval: 30_000,
    // The default of 1 gives a job up after two killed workers.
    maxStalledCount: 100,
    // After a refused connection; the default is 15 seconds.
    runRetryDelay: 1_000,
  };
}

const NO_SUCH_JOB = -1;
const NOT_DELAYED = -3;

export async function promoteJob(queue: JobProducer, id: string): Promise<boolean> {
  try {
    await queue.getBackend().promote(id);
    return true;
  } catch (rawError) {
    const code = (rawError as { code?: unknown }).code;
    if (code === NO_SUCH_JOB || code === NOT_DELAYED) return false;
    throw rawError;
  }
}
