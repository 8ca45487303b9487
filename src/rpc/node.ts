/**
 * One node of a chain: the questions it can be asked, each answer checked before it leaves here.
 *
 * `null`, nothing found, and an answer that contradicts itself are errors wherever the node ought to know; so
 * "nothing there" always means that there is nothing.
 */
import type { BlockHeader, FinalityTag } from "../core/chain.ts";
import { DepositdError, FatalError } from "../core/errors.ts";
import type { Address, Hash } from "../core/hex.ts";
import type { Clock } from "../runtime/clock.ts";
import type { Logger } from "../runtime/logger.ts";
import { AnswerRefused } from "./answer.ts";
import { type Answering, createAnswering } from "./answering.ts";
import { askBalance, type BalanceAnswer, type BalanceQuestion } from "./balance.ts";
import { createChainIdGuard } from "./chain-id-guard.ts";
import type { ChainVerifier } from "./chain-verifier.ts";
import { blockNumberParameter, checkHeader } from "./check-block.ts";
import { confirmHead } from "./confirm-head.ts";
import {
  type BlockSource,
  fetchBlockByHash,
  fetchBlockByNumber,
  fetchProof,
  freshAbilities,
  type IsNameWanted,
} from "./fetch-block.ts";
import { fetchLogs, type LogAnswer, type LogQuery } from "./fetch-logs.ts";
import type { FetchedBlock } from "./fetched-block.ts";
import { createHttpTransport, type HttpLimits } from "./http-transport.ts";
import { type Ask, createJsonRpc } from "./json-rpc.ts";
import { parseNodeAddress } from "./node-address.ts";
import { createNodeRecord, type NodeRecord, type NodeStatus } from "./node-record.ts";
import { findTraces, type NodeProbe, probeNode } from "./probe.ts";
import type { BlockProof } from "./proof/proof-level.ts";
import { createRequestGate } from "./request-gate.ts";
import { createRequestLimit, type Purpose } from "./request-limit.ts";
import { askTokenWords, type TokenWords } from "./token-words.ts";

export interface NodeOptions {
  readonly url: string;
  readonly chainId: number;
  readonly internal: "trace" | "none";
  readonly clock: Clock;
  readonly logger: Logger;
  /** Judges what the blocks of this node prove. */
  readonly verifier: Pick<ChainVerifier, "verify">;
  /** Requests at once, and connections. */
  readonly maxConcurrency?: number;
  readonly limits?: Partial<HttpLimits>;
  /** Told from another node with the same host and port by this number. */
  readonly duplicate?: number;
}

/** What both one node and all nodes of a chain can be asked. */
export interface ChainQuestions {
  head(signal?: AbortSignal): Promise<BlockHeader>;
  /** `null` only when there is no such block yet. */
  headerByNumber(number: bigint, signal?: AbortSignal): Promise<BlockHeader | null>;
  /** `null` when the block is unknown, as blocks of a branch that was left may be. */
  headerByHash(hash: Hash, signal?: AbortSignal): Promise<BlockHeader | null>;
  /** `null` when there is no such block yet, or the chain knows no such tag. */
  tag(tag: FinalityTag, signal?: AbortSignal): Promise<BlockHeader | null>;
  /** Block, receipts and traces, agreeing with each other. A block that is not there is an error. */
  blockByHash(hash: Hash, signal?: AbortSignal): Promise<FetchedBlock>;
  /** @param isNameWanted every transaction's hash is proved if it is not given */
  blockByNumber(number: bigint, signal?: AbortSignal, isNameWanted?: IsNameWanted): Promise<FetchedBlock>;
}

export interface ChainNode {
  readonly name: string;
  readonly record: NodeRecord;
  /** The same questions, out of one budget or the other. */
  readonly questions: Readonly<Record<Purpose, ChainQuestions>>;
  /** Its head; one that is far above `believed` only after a look at the blocks below it. */
  believableHead(believed: BlockHeader | null, signal?: AbortSignal): Promise<BlockHeader>;
  /** How much of a block its answer proves, be it enough or not. */
  proofByNumber(number: bigint, signal?: AbortSignal): Promise<BlockProof>;
  /** Where tokens moved to some recipients. A question that is too large is an answer, not a failure of the node. */
  logs(query: LogQuery, signal?: AbortSignal): Promise<LogAnswer>;
  /** Asks for the chain id anew. Throws `wrong_chain` when it is another. */
  recheckChainId(signal?: AbortSignal): Promise<void>;
  /** @throws {FatalError} `node_method_missing` when inner calls are wanted, and it offers no traces */
  expectTraces(signal?: AbortSignal): Promise<void>;
  /** What a token's contract says of itself. */
  tokenWords(token: Address, signal?: AbortSignal): Promise<TokenWords>;
  /** What an address held after a block. That it cannot say is an answer, not a failure of the node. */
  balance(question: BalanceQuestion, signal?: AbortSignal): Promise<BalanceAnswer>;
  /** It said lately that it offers none, though they are wanted. */
  lacksTraces(): boolean;
  /** Questions for catching up that are not answered yet, in parts of its limit. */
  load(): number;
  status(): Omit<NodeStatus, "isLeading">;
  /** What the node is and can do. Never throws for what the node does. */
  probe(signal?: AbortSignal): Promise<NodeProbe>;
  close(): Promise<void>;
}

/** Beyond so many requests at once a node gains nothing. */
const DEFAULT_CONCURRENCY = 64;
/** How long a node that offered no traces is not asked for blocks, if there is another. */
const FORGET_TRACES_MS = 60_000;

/** Opens no connection until the first question. */
export function createNode(options: NodeOptions): ChainNode {
  const { clock, chainId, internal } = options;
  const parsed = parseNodeAddress(options.url, ["http:", "https:"]);
  const name = options.duplicate === undefined ? parsed.name : `${parsed.name}#${options.duplicate}`;
  const address = { ...parsed, name };
  const record = createNodeRecord(name, clock, options.logger);
  const maxConcurrency = options.maxConcurrency ?? DEFAULT_CONCURRENCY;
  const transport = createHttpTransport({
    address,
    clock,
    maxConnections: maxConcurrency,
    ...(options.limits === undefined ? {} : { limits: options.limits }),
    onDisconnect: () => guard.invalidate(),
  });
  const limit = createRequestLimit(maxConcurrency);
  const gate = createRequestGate(createJsonRpc(transport, address), limit, clock, record.onLatency);
  const abilities = freshAbilities();
  const sourceFor = (purpose: Purpose): BlockSource => ({
    ask: gate.asking(purpose),
    abilities,
    internal,
    verify: (number, block) => options.verifier.verify(name, number, block),
    nodeName: name,
  });
  const source = sourceFor("head");
  const missed = sourceFor("backfill");
  const guard = createChainIdGuard(source.ask, { chainId, nodeName: name }, clock);
  let backfillCount = 0;
  let tracesMissedAt = Number.NEGATIVE_INFINITY;

  const answering = createAnswering({
    nodeName: name,
    guard,
    record,
    onError: (error) => {
      if (error instanceof FatalError && error.code === "node_method_missing")
        tracesMissedAt = clock.monotonic();
    },
  });
  const counting: Answering = async (question, signal) => {
    backfillCount += 1;
    try {
      return await answering(question, signal);
    } finally {
      backfillCount -= 1;
    }
  };
  const lacksTraces = () => internal === "trace" && clock.monotonic() - tracesMissedAt < FORGET_TRACES_MS;

  return {
    name,
    record,
    questions: {
      head: questions(source, answering),
      backfill: questions(missed, counting),
    },
    logs: (query, signal) => counting(() => fetchLogs(missed.ask, query, signal), signal),
    believableHead: (believed, signal) =>
      answering(async () => {
        const header = await askHead(source.ask, signal);
        await confirmHead(source.ask, header, believed, signal);
        record.onHead(header);
        return header;
      }, signal),
    proofByNumber: (number, signal) => answering(() => fetchProof(source, number, signal), signal),
    recheckChainId: (signal) => {
      guard.invalidate();
      return answering(() => guard.ensure(signal), signal);
    },
    expectTraces: async (signal) => {
      if (internal === "none") return;
      await answering(async () => findTraces(source, await askHead(source.ask, signal), signal), signal);
      tracesMissedAt = Number.NEGATIVE_INFINITY;
    },
    tokenWords: (token, signal) => answering(() => askTokenWords(source.ask, token, signal), signal),
    balance: (question, signal) => counting(() => askBalance(missed.ask, question, signal), signal),
    lacksTraces,
    load: () => backfillCount / limit.status().limit,
    status: () => ({ ...record.status(), lacksTraces: lacksTraces(), requests: limit.status() }),
    probe: (signal) => probeNode(source, chainId, signal),
    close: transport.close,
  };
}

function questions(source: BlockSource, answering: Answering): ChainQuestions {
  const { ask } = source;
  return {
    head: (signal) => answering(() => askHead(ask, signal), signal),
    headerByNumber: (number, signal) => answering(() => askHeaderByNumber(ask, number, signal), signal),
    headerByHash: (hash, signal) =>
      answering(async () => {
        const answer = await ask("eth_getBlockByHash", [hash, false], signal);
        return answer === null ? null : checkHeader(answer, { hash });
      }, signal),
    tag: (tag, signal) => answering(() => askTag(ask, tag, signal), signal),
    blockByHash: (hash, signal) => answering(() => fetchBlockByHash(source, hash, signal), signal),
    blockByNumber: (number, signal, isNameWanted) =>
      answering(() => fetchBlockByNumber(source, number, signal, isNameWanted), signal),
  };
}

async function askHead(ask: Ask, signal?: AbortSignal): Promise<BlockHeader> {
  return checkHeader(await ask("eth_getBlockByNumber", ["latest", false], signal));
}

async function askHeaderByNumber(
  ask: Ask,
  number: bigint,
  signal?: AbortSignal,
): Promise<BlockHeader | null> {
  const answer = await ask("eth_getBlockByNumber", [blockNumberParameter(number), false], signal);
  if (answer !== null) return checkHeader(answer, { number });
  // A node behind a load balancer answers null for blocks that it has not yet, though the chain has.
  const head = await askHead(ask, signal);
  if (head.number < number) return null;
  throw new AnswerRefused("The node has no block below its own head", { number, headNumber: head.number });
}

/** geth: -39001 and "safe block not found"; others: -32602 for a tag that they do not know. */
const TAG_UNKNOWN_CODES: readonly unknown[] = [-39001, -32602];
const TAG_UNKNOWN_TEXT =
  /(safe|finalized|block).{0,40}(not found|unknown|unsupported|not supported)|invalid.{0,20}(tag|block)/i;

async function askTag(ask: Ask, tag: FinalityTag, signal?: AbortSignal): Promise<BlockHeader | null> {
  try {
    const answer = await ask("eth_getBlockByNumber", [tag, false], signal);
    return answer === null ? null : checkHeader(answer);
  } catch (rawError) {
    if (rawError instanceof DepositdError && rawError.code === "node_error" && isTagUnknown(rawError))
      return null;
    throw rawError;
  }
}

function isTagUnknown(error: DepositdError): boolean {
  return TAG_UNKNOWN_CODES.includes(error.facts["rpcCode"]) || TAG_UNKNOWN_TEXT.test(error.message);
}
