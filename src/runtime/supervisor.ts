/**
 * Keeps workers running. One that throws is started again after a while; none of them can end the process or
 * each other.
 *
 *   running      its run() is under way
 *   backing_off  it threw something that may pass (a node or the database was away); it is tried again soon
 *   failed       it threw something that a person has to look at (a wrong chain, a bug); it is tried again too,
 *                slowly, so that it mends itself once the person has mended the cause
 *   stopped      it was asked to stop and did
 *
 * A worker that failed stays visible as such until it says that its work is done again, or has run for a while: one
 * that fails at once at each try would look healthy half of the time otherwise.
 */
import { setMaxListeners } from "node:events";
import { coerceError, isRetryable } from "../core/errors.ts";
import type { Clock } from "./clock.ts";
import type { Logger } from "./logger.ts";
import type { Random } from "./random.ts";

export interface Worker {
  readonly name: string;
  /**
   * Works until the signal aborts, then puts down what it holds and resolves.
   *
   * @param onWell to be called when a piece of its work is done: what it failed at before is over then
   */
  run(signal: AbortSignal, onWell: () => void): Promise<void>;
}

export type WorkerState = "running" | "backing_off" | "failed" | "stopped";

export interface WorkerHealth {
  readonly name: string;
  readonly state: WorkerState;
  /** What it threw last; `null` while it is well. */
  readonly error: string | null;
  /** Since when it is in this state, in milliseconds since 1970. */
  readonly since: number;
}

export interface Supervisor {
  /** Starts the workers that do not run yet, by name. Does nothing once `stop` was called. */
  start(workers: readonly Worker[]): void;
  /** Asks all of them to stop, and waits for them, but no longer than the grace. May be called again. */
  stop(): Promise<void>;
  health(): WorkerHealth[];
}

export interface SupervisorOptions {
  readonly logger: Logger;
  readonly clock: Clock;
  readonly random: Random;
  /** How long `stop` waits. */
  readonly graceMs: number;
}

const FIRST_RETRY_MS = 500;
const LONGEST_RETRY_MS = 30_000;
/** After running this long it counts as well again, and the next failure as the first. */
const WELL_AFTER_MS = 10_000;

interface Failure {
  readonly state: "backing_off" | "failed";
  readonly error: string;
  /** Since when it is in this state. */
  readonly since: number;
  /** How many there were in a row, without having been well in between. */
  readonly count: number;
}

interface WorkerRecord {
  lastFailure: Failure | undefined;
  /** When the present run began, by either clock; `undefined` between two runs. */
  run: { readonly since: number; readonly monotonicStart: number; isWell: boolean } | undefined;
  /** When it had stopped for good. */
  stoppedAt: number | undefined;
  done: Promise<void>;
}

export function createSupervisor(options: SupervisorOptions): Supervisor {
  const { logger, clock, graceMs } = options;
  const stopping = new AbortController();
  // Every worker waits for it, some of them in several places.
  setMaxListeners(0, stopping.signal);
  const records = new Map<string, WorkerRecord>();
  let stopped: Promise<void> | undefined;

  const stop = async () => {
    stopping.abort();
    const finished = new AbortController();
    const all = Promise.all([...records.values()].map((record) => record.done)).then(() => finished.abort());
    await Promise.race([all, clock.sleep(graceMs, finished.signal)]);
    const late = [...records].filter(([, record]) => record.stoppedAt === undefined).map(([name]) => name);
    if (late.length > 0) logger.warn("Gave up waiting for workers", { workers: late, grace_ms: graceMs });
  };

  return {
    start: (workers) => {
      for (const worker of workers) {
        if (stopping.signal.aborted || records.has(worker.name)) continue;
        const record: WorkerRecord = {
          lastFailure: undefined,
          run: undefined,
          stoppedAt: undefined,
          done: Promise.resolve(),
        };
        records.set(worker.name, record);
        record.done = keepRunning(worker, record, stopping.signal, options);
      }
    },
    stop: () => {
      stopped ??= stop();
      return stopped;
    },
    health: () => [...records].map(([name, record]) => ({ name, ...readHealth(record, clock) })),
  };
}

async function keepRunning(
  worker: Worker,
  record: WorkerRecord,
  signal: AbortSignal,
  options: SupervisorOptions,
): Promise<void> {
  const { clock, logger } = options;
  while (!signal.aborted) {
    const run = { since: clock.now(), monotonicStart: clock.monotonic(), isWell: false };
    record.run = run;
    const error = await runOnce(worker, signal, () => {
      run.isWell = true;
    });
    if (signal.aborted) {
      if (error !== undefined) logger.warn("A worker failed while stopping", { worker: worker.name, error });
      break;
    }
    const retryInMs = noteFailure(worker.name, record, error, options);
    record.run = undefined;
    await clock.sleep(retryInMs, signal);
  }
  record.stoppedAt = clock.now();
}

async function runOnce(worker: Worker, signal: AbortSignal, onWell: () => void): Promise<Error | undefined> {
  try {
    await worker.run(signal, onWell);
    return undefined;
  } catch (rawError) {
    return coerceError(rawError);
  }
}

/** Answers how long to wait before the next try. */
function noteFailure(
  name: string,
  record: WorkerRecord,
  thrown: Error | undefined,
  { logger, clock, random }: SupervisorOptions,
): number {
  const before = hasRunLong(record, clock) ? undefined : record.lastFailure;
  // A worker that ends unasked no longer does its work: as bad as one that throws.
  const error = thrown ?? new Error("It ended although nobody had asked it to");
  const state = thrown === undefined || isRetryable(thrown) ? "backing_off" : "failed";
  const count = (before?.count ?? 0) + 1;
  const since = before?.state === state ? before.since : clock.now();
  record.lastFailure = { state, error: error.message, since, count };

  const retryInMs = state === "failed" ? LONGEST_RETRY_MS : retryDelayMs(count, random);
  const fields = { worker: name, error, failures: count, retry_in_ms: retryInMs };
  if (state === "failed") logger.error("A worker failed, and somebody has to look at it", fields);
  else logger.warn("A worker failed, and is started again", fields);
  return retryInMs;
}

/**
 * 0.5, 1, 2, 4, 8, 16, 30, 30, … seconds, each ± 20 %: workers that failed together, because the database was
 * away, do not all come back in the same instant.
 */
function retryDelayMs(failures: number, random: Random): number {
  const base = Math.min(LONGEST_RETRY_MS, FIRST_RETRY_MS * 2 ** Math.min(failures - 1, 10));
  return Math.round(base * (0.8 + 0.4 * random.fraction()));
}

/** Never failed, has done its work since, or has run long enough. */
function isWell(record: WorkerRecord, clock: Clock): boolean {
  return record.lastFailure === undefined || record.run?.isWell === true || hasRunLong(record, clock);
}

/** Pauses grow until then, whatever it got done: one that fails after each piece of work is not to fail in a loop. */
function hasRunLong({ run }: WorkerRecord, clock: Clock): boolean {
  return run !== undefined && clock.monotonic() - run.monotonicStart >= WELL_AFTER_MS;
}

function readHealth(record: WorkerRecord, clock: Clock): Omit<WorkerHealth, "name"> {
  if (record.stoppedAt !== undefined) return { state: "stopped", error: null, since: record.stoppedAt };
  if (record.lastFailure !== undefined && !isWell(record, clock)) {
    const { state, error, since } = record.lastFailure;
    return { state, error, since };
  }
  return { state: "running", error: null, since: record.run?.since ?? clock.now() };
}
