/**
 * Questions for catching up that come in the same turn of the event loop travel together, as a JSON-RPC batch: to ask
 * and answer over HTTP costs as much as a fifth of reading a full block.
 *
 * Nothing else changes: each question has its own answer, its own check and its own failure. A node answers a batch
 * one item after the other, so batches are small, and where that takes long, or a node does not do it well, each
 * question goes alone again for a while:
 *
 * | what a batch brings                                | what follows                                          |
 * | --------------------------------------------------- | ----------------------------------------------------- |
 * | no list: the node takes no batches                  | all are asked alone, and so are others for ten minutes |
 * | an item is missing, or is an error                  | it is asked alone; others too, for a minute           |
 * | it took longer than 50 ms                           | others are asked alone for ten seconds                |
 * | no answer, or "too many requests"                   | all have failed with that                             |
 */
import type { Clock } from "../runtime/clock.ts";
import { type Ask, type Asked, isMethodMissing, type JsonRpc, type Told } from "./json-rpc.ts";

/** A node works on the items one by one: more of them would take its other cores away from us. */
const MOST_TOGETHER = 8;
/** What a node on the same machine, or next to it, has ready. Beyond it a request's own cost does not matter. */
const LONG_MS = 50;
const ALONE_AFTER_LONG_MS = 10_000;
const ALONE_AFTER_GAP_MS = 60_000;
const ALONE_AFTER_REFUSAL_MS = 600_000;

/** Traces are work, and a batch of them a long wait. Logs are asked for one range at a time. */
const TOGETHER: ReadonlySet<string> = new Set([
  "eth_getBlockByNumber",
  "eth_getBlockByHash",
  "eth_getBlockReceipts",
  "eth_getTransactionReceipt",
]);

interface Waiter extends Asked {
  readonly signal: AbortSignal | undefined;
  resolve(result: unknown): void;
  reject(error: unknown): void;
}

/** A question that is given up leaves its batch under way: to cancel it would break the connection of the others. */
export function createBatchedAsk(rpc: JsonRpc, clock: Clock): Ask {
  let waiting: Waiter[] = [];
  let aloneUntil = Number.NEGATIVE_INFINITY;

  const goAlone = (ms: number) => {
    aloneUntil = Math.max(aloneUntil, clock.monotonic() + ms);
  };
  const askAlone = ({ method, params, signal, resolve, reject }: Waiter) => {
    rpc.ask(method, params, signal).then(resolve, reject);
  };
  const settle = (waiter: Waiter, told: Told) => {
    if (told !== null && "result" in told) return waiter.resolve(told.result);
    if (told !== null && isMethodMissing(told.error)) return waiter.reject(told.error);
    goAlone(ALONE_AFTER_GAP_MS);
    askAlone(waiter);
  };
  const send = async (batch: readonly Waiter[]): Promise<void> => {
    const beganAt = clock.monotonic();
    try {
      const answers = await rpc.askTogether(batch);
      if (answers === null) goAlone(ALONE_AFTER_REFUSAL_MS);
      if (clock.monotonic() - beganAt > LONG_MS) goAlone(ALONE_AFTER_LONG_MS);
      for (const [index, waiter] of batch.entries()) {
        if (answers === null) askAlone(waiter);
        else settle(waiter, answers[index] ?? null);
      }
    } catch (rawError) {
      for (const waiter of batch) waiter.reject(rawError);
    }
  };
  const sendWaiting = async (): Promise<void> => {
    await clock.nextTurn();
    const asked = waiting.filter(({ signal }) => signal?.aborted !== true);
    waiting = [];
    for (let at = 0; at < asked.length; at += MOST_TOGETHER) {
      const batch = asked.slice(at, at + MOST_TOGETHER);
      const [only] = batch;
      if (batch.length === 1 && only !== undefined) askAlone(only);
      else void send(batch);
    }
  };

  return (method, params, signal) => {
    if (!TOGETHER.has(method) || clock.monotonic() < aloneUntil) return rpc.ask(method, params, signal);
    return new Promise((resolve, reject) => {
      if (signal?.aborted === true) return reject(signal.reason);
      const forget = () => signal?.removeEventListener("abort", onAbort);
      const onAbort = () => reject(signal?.reason);
      signal?.addEventListener("abort", onAbort, { once: true });
      waiting.push({
        method,
        params,
        signal,
        resolve: (result) => {
          forget();
          resolve(result);
        },
        reject: (error) => {
          forget();
          reject(error);
        },
      });
      if (waiting.length === 1) void sendWaiting();
    });
  };
}
