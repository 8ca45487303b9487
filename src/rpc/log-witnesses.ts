/** Logs of a range as two nodes tell them, where there are two: what one leaves out, the other may have. */
import { DepositdError, TemporaryError } from "../core/errors.ts";
import type { LogAnswer, LoggedBlock, LogQuery } from "./fetch-logs.ts";

export type WitnessedLogs =
  | (Extract<LogAnswer, { kind: "found" }> & {
      /** How many different nodes answered: 1 or 2. */
      readonly witnesses: number;
      /** Blocks that only one of two named. */
      readonly disputed: readonly LoggedBlock[];
    })
  | Extract<LogAnswer, { kind: "too_much" }>;

interface LogNode {
  readonly name: string;
  logs(query: LogQuery, signal?: AbortSignal): Promise<LogAnswer>;
}

/** Asks any node but the one that is named, those first that can have the block. `undefined` where there is no other. */
export type AskAnyNode = (
  question: (node: LogNode) => Promise<LogAnswer>,
  lastBlock: bigint,
  except: string | null,
  signal?: AbortSignal,
) => Promise<LogAnswer> | undefined;

/**
 * @returns blocks that either of two nodes named; one node's word where no second answers
 * @throws {TemporaryError} `node_answer_invalid` when the two are on different branches; what the first to be asked
 * fails with
 */
export async function witnessLogs(
  askAny: AskAnyNode,
  query: LogQuery,
  signal?: AbortSignal,
): Promise<WitnessedLogs> {
  let firstName: string | null = null;
  const askFirst = async (node: LogNode) => {
    const answer = await node.logs(query, signal);
    firstName = node.name;
    return answer;
  };
  const first = await askAny(askFirst, query.to, null, signal);
  if (first === undefined) throw new RangeError("The chain has no nodes");
  if (first.kind === "too_much") return first;
  const second = await askSecond(askAny, query, firstName, signal);
  if (second === undefined) return { ...first, witnesses: 1, disputed: [] };
  return second.kind === "too_much" ? second : united(first, second);
}

/** `undefined` when no other node answers: whether one is enough is for the caller to say. */
async function askSecond(
  askAny: AskAnyNode,
  query: LogQuery,
  except: string | null,
  signal?: AbortSignal,
): Promise<LogAnswer | undefined> {
  try {
    return await askAny((node) => node.logs(query, signal), query.to, except, signal);
  } catch (rawError) {
    signal?.throwIfAborted();
    if (rawError instanceof DepositdError) return undefined;
    throw rawError;
  }
}

type Found = Extract<LogAnswer, { kind: "found" }>;

function united(first: Found, second: Found): WitnessedLogs {
  if (first.end.hash !== second.end.hash) throw onTwoBranches(first.end.number);
  const both = new Map(first.blocks.map((block) => [block.number, block]));
  const disputed: LoggedBlock[] = [];
  const named = new Set<bigint>();
  for (const block of second.blocks) {
    named.add(block.number);
    const other = both.get(block.number);
    if (other === undefined) disputed.push(block);
    else if (other.hash !== block.hash) throw onTwoBranches(block.number);
    both.set(block.number, block);
  }
  disputed.push(...first.blocks.filter((block) => !named.has(block.number)));
  const blocks = [...both.values()].sort((a, b) => (a.number < b.number ? -1 : 1));
  return { kind: "found", end: first.end, blocks, witnesses: 2, disputed };
}

function onTwoBranches(number: bigint): TemporaryError {
  return new TemporaryError("node_answer_invalid", "Two nodes that were asked for logs are on two branches", {
    number,
  });
}
