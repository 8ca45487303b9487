/**
 * What waits in one node's mempool, by the first of these that the node offers:
 *
 *   eth_newPendingTransactionFilter   what is new since the last look, in full where the node gives it in full, else
 *                                     as hashes that are asked for one by one; cheap however large the pool is
 *   txpool_content                    the whole pool each time; what waits for an earlier nonce ("queued") is left out
 *   eth_getBlockByNumber "pending"    the block that the node would make now: the best payers of the pool
 *
 * It is asked, never told: a push of all pending transactions over a WebSocket cannot be slowed down, and would come
 * over the connection that brings new heads.
 */
import { DepositdError } from "../../core/errors.ts";
import { type Hash, isHash } from "../../core/hex.ts";
import { AnswerRefused, type Fields, isFields, readFields, readList } from "../answer.ts";
import { type Ask, isMethodMissing } from "../json-rpc.ts";
import { type PendingTransaction, readPending } from "./pending-transaction.ts";

export const MEMPOOL_METHODS = [
  "eth_newPendingTransactionFilter",
  "txpool_content",
  "eth_getBlockByNumber",
] as const;
export type MempoolMethod = (typeof MEMPOOL_METHODS)[number];

/** One look at one node's mempool. */
export interface MempoolLook {
  readonly transactions: readonly PendingTransaction[];
  /** Items that could not be believed. */
  readonly junkCount: number;
  /** Items that came too fast. */
  readonly leftOutCount: number;
}

export interface PendingSource {
  /** What it is asked by now; `null` when the node offers nothing. */
  method(): MempoolMethod | null;
  /** @throws {DepositdError | AnswerRefused} what the node did wrong; the next look tries again */
  look(signal?: AbortSignal): Promise<MempoolLook>;
}

/** At two looks a second, five times what the busiest chains saw in 2026; more than this is left out and counted. */
const TRANSACTIONS_PER_LOOK = 1_000;
const BODIES_AT_ONCE = 4;
/** A method that fails so often in a row (a balancer loses filters, an answer is too large) gives way to the next. */
const FAILURES_TO_GIVE_WAY = 3;

/** A node that offers nothing is asked anew after so many looks: an operator may have turned something on. */
const LOOKS_UNTIL_ASKED_ANEW = 1_000;

const NOTHING: MempoolLook = { transactions: [], junkCount: 0, leftOutCount: 0 };

export function createPendingSource(ask: Ask, chainId: number): PendingSource {
  let rung = 0;
  let failures = 0;
  let filterId: string | undefined;
  let looksInVain = 0;

  const giveWay = () => {
    rung += 1;
    failures = 0;
    filterId = undefined;
  };
  const lookBy = async (method: MempoolMethod, signal?: AbortSignal): Promise<unknown[]> => {
    if (method === "txpool_content") return poolItems(await ask("txpool_content", [], signal));
    if (method === "eth_getBlockByNumber") return askPendingBlock(ask, signal);
    if (filterId !== undefined) return askFilter(ask, filterId, signal);
    filterId = await openFilter(ask, signal);
    // A filter tells of what comes from now on; what waits already shows in the pending block.
    return askPendingBlock(ask, signal).catch(() => []);
  };

  return {
    method: () => MEMPOOL_METHODS[rung] ?? null,
    look: async (signal) => {
      for (;;) {
        const method = MEMPOOL_METHODS[rung];
        if (method === undefined) {
          looksInVain = (looksInVain + 1) % LOOKS_UNTIL_ASKED_ANEW;
          if (looksInVain === 0) rung = 0;
          return NOTHING;
        }
        // A balancer opens a filter on one node and asks another for it: opening alone proves nothing.
        const isOpening = rung === 0 && filterId === undefined;
        try {
          const found = await readItems(ask, chainId, await lookBy(method, signal), signal);
          if (!isOpening) failures = 0;
          return found;
        } catch (rawError) {
          signal?.throwIfAborted();
          filterId = undefined;
          failures += 1;
          if (isMethodMissing(rawError)) giveWay();
          else if (isOwnFailure(rawError) && failures >= FAILURES_TO_GIVE_WAY) giveWay();
          else throw rawError;
        }
      }
    },
  };
}

/** The first method that the node offers, for `doctor`; leaves no filter behind that it does not drop itself. */
export async function findMempoolMethod(ask: Ask, signal?: AbortSignal): Promise<MempoolMethod | null> {
  const questions: readonly (readonly [MempoolMethod, () => Promise<unknown>])[] = [
    ["eth_newPendingTransactionFilter", async () => askFilter(ask, await openFilter(ask, signal), signal)],
    ["txpool_content", async () => poolItems(await ask("txpool_content", [], signal))],
    ["eth_getBlockByNumber", () => askPendingBlock(ask, signal)],
  ];
  for (const [method, question] of questions) {
    try {
      await question();
      return method;
    } catch (rawError) {
      signal?.throwIfAborted();
      if (!isMethodMissing(rawError) && !isOwnFailure(rawError)) throw rawError;
    }
  }
  return null;
}

/** The node answered, and this method's answer was no good: another method may do better. */
function isOwnFailure(rawError: unknown): boolean {
  if (rawError instanceof AnswerRefused) return true;
  return (
    rawError instanceof DepositdError &&
    (rawError.code === "node_error" || rawError.code === "node_answer_invalid")
  );
}

/** In full bodies where the node knows that parameter (geth since 1.11, reth, erigon), else hashes. */
async function openFilter(ask: Ask, signal?: AbortSignal): Promise<string> {
  const open = (params: readonly unknown[]) => ask("eth_newPendingTransactionFilter", params, signal);
  const answer = await open([true]).catch((rawError: unknown) => {
    signal?.throwIfAborted();
    if (isMethodMissing(rawError) || !isOwnFailure(rawError)) throw rawError;
    return open([]);
  });
  if (typeof answer === "string" && answer.length > 0 && answer.length <= 200) return answer;
  throw new AnswerRefused("The filter's id is not text");
}

async function askFilter(ask: Ask, filterId: string, signal?: AbortSignal): Promise<unknown[]> {
  return readList(await ask("eth_getFilterChanges", [filterId], signal), "The filter's changes");
}

async function askPendingBlock(ask: Ask, signal?: AbortSignal): Promise<unknown[]> {
  const answer = await ask("eth_getBlockByNumber", ["pending", true], signal);
  if (answer === null) throw new AnswerRefused("The node has no pending block");
  return readList(readFields(answer, "The pending block")["transactions"], "The list of transactions");
}

/** `{ pending: { sender: { nonce: transaction } } }` */
function poolItems(answer: unknown): unknown[] {
  const pending = readFields(readFields(answer, "The pool")["pending"], "The pool's pending part");
  return Object.values(pending).flatMap((ofSender) =>
    // What is no such map is junk, and told as such by the reader.
    isFields(ofSender) ? Object.values(ofSender) : [ofSender],
  );
}

async function readItems(
  ask: Ask,
  chainId: number,
  items: readonly unknown[],
  signal?: AbortSignal,
): Promise<MempoolLook> {
  const taken = items.slice(0, TRANSACTIONS_PER_LOOK);
  const transactions: PendingTransaction[] = [];
  let junkCount = 0;
  const take = (answer: unknown) => {
    try {
      transactions.push(readPending(answer, chainId));
    } catch (rawError) {
      if (!(rawError instanceof AnswerRefused)) throw rawError;
      junkCount += 1;
    }
  };
  const hashes = taken.filter((item): item is Hash => isHash(item));
  for (const item of taken) if (typeof item !== "string") take(item);
  junkCount += taken.filter((item) => typeof item === "string" && !isHash(item)).length;
  for (const body of await askBodies(ask, hashes, signal)) take(body);
  return { transactions, junkCount, leftOutCount: items.length - taken.length };
}

/** Those that wait still: a transaction that is mined or forgotten by now has nothing to be seen any more. */
async function askBodies(ask: Ask, hashes: readonly Hash[], signal?: AbortSignal): Promise<Fields[]> {
  const bodies: Fields[] = [];
  const waiting = hashes.values();
  const askNext = async () => {
    for (const hash of waiting) {
      const answer = await ask("eth_getTransactionByHash", [hash], signal);
      if (!isFields(answer) || typeof answer["blockHash"] === "string") continue;
      // An answer about another transaction is junk, and told as such by the reader.
      bodies.push(answer["hash"] === hash.toLowerCase() ? answer : {});
    }
  };
  await Promise.all(Array.from({ length: BODIES_AT_ONCE }, askNext));
  return bodies;
}
