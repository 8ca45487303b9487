/**
 * Threads that fetch, parse, check and prove the blocks of one chain while it catches up: one thread alone can do no
 * more than some hundred full blocks a second.
 *
 * They begin when they are needed, end when they were idle for a while, and never keep the process alive. A thread
 * that fails at a block, or dies, has only not helped: the block is fetched without it.
 */
import { Worker } from "node:worker_threads";
import { coerceError } from "../core/errors.ts";
import type { SharedTable } from "../matcher/address-table.ts";
import type { Clock } from "../runtime/clock.ts";
import type { ChainConfig } from "../runtime/config/config.ts";
import type { Logger } from "../runtime/logger.ts";
import type { ClaimedBlock, FetchedChain, FromThread, ToThread } from "./fetch-messages.ts";

export interface FetchThreads {
  /**
   * A block as a thread has it, to be judged still; `null` when no thread could get it.
   *
   * @param table what moves to addresses of it is kept
   * @throws the signal's reason when it aborts
   */
  fetch(number: bigint, table: SharedTable, signal: AbortSignal): Promise<ClaimedBlock | null>;
  /** Blocks that the thread which has least to do is asked for. */
  leastUnderWay(): number;
  /** How many there are at this moment. */
  count(): number;
  /** Ends them; what is under way is answered with `null`. */
  close(): Promise<void>;
}

export interface FetchThreadsOptions {
  readonly chain: ChainConfig;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** Each holds some 30 MB: not for long after the catching up. */
const IDLE_MS = 60_000;
/** One that dies is likely to die again. */
const REST_AFTER_FAILURE_MS = 60_000;

export function createFetchThreads({ chain, clock, logger }: FetchThreadsOptions): FetchThreads {
  const threads = new Set<Thread>();
  // Each thread counts its own requests: where an operator set how many there may be, one counts them all.
  const isCounted = chain.nodes.some(({ maxConcurrency }) => maxConcurrency !== null);
  const wanted = isCounted ? 0 : chain.fetchThreads;
  let underWay = 0;
  let failedAt = Number.NEGATIVE_INFINITY;
  let resting = new AbortController();

  const begin = () => {
    if (clock.monotonic() - failedAt < REST_AFTER_FAILURE_MS) return;
    while (threads.size < wanted) {
      const thread: Thread = startThread(
        chain,
        (error) => {
          threads.delete(thread);
          failedAt = clock.monotonic();
          logger.error("Thread that fetches blocks failed", { chain_id: chain.id, error });
        },
        logger,
      );
      threads.add(thread);
    }
  };
  const idlest = () => {
    let found: Thread | undefined;
    for (const thread of threads)
      if (found === undefined || thread.underWay() < found.underWay()) found = thread;
    return found;
  };
  const close = async () => {
    resting.abort();
    const ending = [...threads];
    threads.clear();
    await Promise.all(ending.map((thread) => thread.end()));
  };
  const rest = async () => {
    const { signal } = resting;
    await clock.sleep(IDLE_MS, signal);
    if (!signal.aborted) await close();
  };
  return {
    fetch: async (number, table, signal) => {
      signal.throwIfAborted();
      if (!resting.signal.aborted) resting.abort();
      if (underWay === 0) begin();
      const thread = idlest();
      if (thread === undefined) return null;
      underWay += 1;
      try {
        return await thread.fetch(number, table, signal);
      } finally {
        underWay -= 1;
        if (underWay === 0 && threads.size > 0) {
          resting = new AbortController();
          void rest();
        }
      }
    },
    leastUnderWay: () => idlest()?.underWay() ?? 0,
    count: () => threads.size,
    close,
  };
}

interface Thread {
  underWay(): number;
  fetch(number: bigint, table: SharedTable, signal: AbortSignal): Promise<ClaimedBlock | null>;
  end(): Promise<void>;
}

type Settle = (block: ClaimedBlock | null) => void;

/** @param onFailure called when it ends unasked */
function startThread(chain: ChainConfig, onFailure: (error: Error) => void, logger: Logger): Thread {
  const worker = startWorker(chain);
  const waiting = new Map<number, Settle>();
  let lastId = 0;
  let isEnded = false;
  let told: SharedTable | undefined;

  const finish = () => {
    isEnded = true;
    for (const settle of waiting.values()) settle(null);
    waiting.clear();
  };
  const fail = (error: Error) => {
    if (isEnded) return;
    onFailure(error);
    finish();
  };
  const settle = (id: number, block: ClaimedBlock | null) => {
    waiting.get(id)?.(block);
    waiting.delete(id);
  };
  worker.on("message", (message: FromThread) => {
    if (message.kind === "log") logger[message.level](message.sentence, message.fields);
    else settle(message.id, message.kind === "block" ? message.block : null);
  });
  worker.on("error", (rawError) => fail(coerceError(rawError)));
  worker.on("messageerror", fail);
  worker.on("exit", (code) => fail(new Error(`It ended by itself, with code ${code}`)));
  worker.unref();

  const post = (message: ToThread) => worker.postMessage(message);
  return {
    underWay: () => waiting.size,
    fetch: (number, table, signal) =>
      new Promise((resolve, reject) => {
        if (isEnded) return resolve(null);
        if (table !== told) post({ kind: "watch", table });
        told = table;
        const id = ++lastId;
        const cancel = () => {
          waiting.delete(id);
          post({ kind: "cancel", id });
          reject(signal.reason);
        };
        waiting.set(id, (block) => {
          signal.removeEventListener("abort", cancel);
          resolve(block);
        });
        signal.addEventListener("abort", cancel, { once: true });
        post({ kind: "fetch", id, number });
      }),
    end: async () => {
      finish();
      await worker.terminate();
    },
  };
}

/** Run from its source, where Node.js loads no TypeScript, a thread needs the loader that this program has. */
const FROM_SOURCE =
  'import("tsx/esm/api").then(({ register }) => { register(); return import(require("node:worker_threads").workerData.entry); })';

function startWorker(chain: ChainConfig): Worker {
  const { id, nodes, internal, blockTimeMs, verification, nativeSource } = chain;
  const fetched: FetchedChain = { id, nodes, internal, blockTimeMs, verification, nativeSource };
  if (!import.meta.url.endsWith(".ts"))
    return new Worker(new URL("./fetch-thread.js", import.meta.url), { workerData: fetched, execArgv: [] });
  const entry = new URL("./fetch-thread.ts", import.meta.url).href;
  return new Worker(FROM_SOURCE, { eval: true, workerData: { ...fetched, entry }, execArgv: [] });
}
