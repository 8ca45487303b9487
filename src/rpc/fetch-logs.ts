/**
 * Asks one node where, in a range of blocks, tokens moved to some recipients. The answer says where to look and is
 * believed in nothing else: each block it names is fetched whole and checked like any other. What a node leaves
 * out here cannot be seen from its answer; that is why a second node is asked where there is one.
 */
import type { BlockHeader } from "../core/chain.ts";
import type { Address, Hash } from "../core/hex.ts";
import {
  AnswerRefused,
  type Fields,
  readAddress,
  readFields,
  readHash,
  readList,
  readSafeNumber,
} from "./answer.ts";
import { blockNumberParameter, checkHeader } from "./check-block.ts";
import type { Ask } from "./json-rpc.ts";
import { isTooMuchAtOnce } from "./log-caps.ts";

export interface LogQuery {
  readonly from: bigint;
  /** Included. */
  readonly to: bigint;
  readonly tokens: readonly Address[];
  readonly recipients: readonly Address[];
}

/** A block with a log that was asked for. */
export interface LoggedBlock {
  readonly number: bigint;
  readonly hash: Hash;
}

export type LogAnswer =
  /** `blocks` rising, each once; `end` is the block at the end of the range. */
  | { readonly kind: "found"; readonly blocks: readonly LoggedBlock[]; readonly end: BlockHeader }
  /** More than the node gives at once: ask for fewer blocks. Never said of a single block. */
  | { readonly kind: "too_much"; readonly reason: string };

/** keccak256("Transfer(address,address,uint256)"), ERC-20 */
const TRANSFER_TOPIC = "0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef";

/** geth's limit for each position of the topics. */
const RECIPIENTS_PER_QUESTION = 1_000;

const UPPER_BYTES = "0".repeat(24);

/**
 * The last block of the range is asked for first: a node that lags behind answers a range beyond its head with the
 * logs it has, as if there were no more.
 *
 * @throws what `ask` throws, and {AnswerRefused}
 */
export async function fetchLogs(ask: Ask, query: LogQuery, signal?: AbortSignal): Promise<LogAnswer> {
  const isOneBlock = query.from === query.to;
  const end = await askEnd(ask, query.to, signal);
  const found = new Map<bigint, Hash>();
  try {
    for (const recipients of chunked(query.recipients)) {
      const logs = await askLogs(ask, query, recipients, signal);
      if (!isOneBlock && isSuspiciouslyRound(logs.length))
        return { kind: "too_much", reason: `exactly ${logs.length} logs` };
      for (const log of logs) noteBlock(found, readLog(log, query, recipients));
    }
  } catch (rawError) {
    if (isOneBlock || !isTooMuchAtOnce(rawError)) throw rawError;
    return { kind: "too_much", reason: (rawError as Error).message };
  }
  if ((found.get(end.number) ?? end.hash) !== end.hash) throw ofTwoBranches(end.number);
  const blocks = [...found].map(([number, hash]) => ({ number, hash }));
  return { kind: "found", end, blocks: blocks.sort((a, b) => (a.number < b.number ? -1 : 1)) };
}

async function askEnd(ask: Ask, number: bigint, signal?: AbortSignal): Promise<BlockHeader> {
  const answer = await ask("eth_getBlockByNumber", [blockNumberParameter(number), false], signal);
  if (answer === null) throw new AnswerRefused("The node has not the last block of the range", { number });
  return checkHeader(answer, { number });
}

function* chunked(recipients: readonly Address[]): Generator<ReadonlySet<Address>> {
  for (let at = 0; at < recipients.length; at += RECIPIENTS_PER_QUESTION)
    yield new Set(recipients.slice(at, at + RECIPIENTS_PER_QUESTION));
}

async function askLogs(
  ask: Ask,
  query: LogQuery,
  recipients: ReadonlySet<Address>,
  signal?: AbortSignal,
): Promise<unknown[]> {
  const filter = {
    fromBlock: blockNumberParameter(query.from),
    toBlock: blockNumberParameter(query.to),
    address: query.tokens,
    topics: [TRANSFER_TOPIC, null, [...recipients].map((address) => `0x${UPPER_BYTES}${address.slice(2)}`)],
  };
  return readList(await ask("eth_getLogs", [filter], signal), "The list of logs");
}

/** Some nodes cut the list at a limit and say nothing: 100, 1,000, 5,000, 10,000 or 20,000. */
function isSuspiciouslyRound(count: number): boolean {
  return count > 0 && count % 100 === 0;
}

/** A log that was not asked for means that the node did not understand the filter, and may have left others out. */
function readLog(log: unknown, query: LogQuery, recipients: ReadonlySet<Address>): LoggedBlock {
  const fields = readFields(log, "A log");
  const number = BigInt(readSafeNumber(fields, "blockNumber"));
  const isAsked =
    number >= query.from &&
    number <= query.to &&
    query.tokens.includes(readAddress(fields, "address")) &&
    isTransferTo(fields, recipients);
  if (!isAsked) throw new AnswerRefused("A log is none that was asked for", { number });
  if (fields["removed"] === true) throw new AnswerRefused("A log is marked as removed", { number });
  return { number, hash: readHash(fields, "blockHash") };
}

function isTransferTo(fields: Fields, recipients: ReadonlySet<Address>): boolean {
  const topics = readList(fields["topics"], "A log's list of topics");
  const [topic, , to] = topics.map((each) => (typeof each === "string" ? each.toLowerCase() : ""));
  return topic === TRANSFER_TOPIC && to !== undefined && recipients.has(`0x${to.slice(26)}`);
}

function noteBlock(found: Map<bigint, Hash>, { number, hash }: LoggedBlock): void {
  if ((found.get(number) ?? hash) !== hash) throw ofTwoBranches(number);
  found.set(number, hash);
}

function ofTwoBranches(number: bigint): AnswerRefused {
  return new AnswerRefused("The logs are of two branches", { number });
}
