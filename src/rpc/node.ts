/**
 * One node of a chain: the questions it can be asked, each answer checked before it leaves here.
 *
 * `null`, nothing found, and an answer that contradicts itself are errors wherever the node ought to know; so
 * "nothing there" always means that there is nothing.
 */
import type { BlockHeader, FinalityTag } from "../core/chain.ts";
import { DepositdError, TemporaryError } from "../core/errors.ts";
import type { Hash } from "../core/hex.ts";
import type { Clock } from "../runtime/clock.ts";
import type { Logger } from "../runtime/logger.ts";
import { AnswerRefused } from "./answer.ts";
import { createChainIdGuard } from "./chain-id-guard.ts";
import { blockNumberParameter, checkHeader } from "./check-block.ts";
import { type BlockSource, fetchBlockByHash, fetchBlockByNumber, freshAbilities } from "./fetch-block.ts";
import type { FetchedBlock } from "./fetched-block.ts";
import { createHttpTransport, type HttpLimits } from "./http-transport.ts";
import { type Ask, createJsonRpc } from "./json-rpc.ts";
import { parseNodeAddress } from "./node-address.ts";
import { createNodeRecord, type NodeRecord } from "./node-record.ts";
import { type NodeProbe, probeNode } from "./probe.ts";

export interface NodeOptions {
  readonly url: string;
  readonly chainId: number;
  readonly internal: "trace" | "none";
  readonly clock: Clock;
  readonly logger: Logger;
  readonly maxConnections?: number;
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
  blockByNumber(number: bigint, signal?: AbortSignal): Promise<FetchedBlock>;
}

export interface ChainNode extends ChainQuestions {
  readonly name: string;
  readonly record: NodeRecord;
  /** Asks for the chain id anew. Throws `wrong_chain` when it is another. */
  recheckChainId(signal?: AbortSignal): Promise<void>;
  /** What the node is and can do. Never throws for what the node does. */
  probe(signal?: AbortSignal): Promise<NodeProbe>;
  close(): Promise<void>;
}

const DEFAULT_CONNECTIONS = 32;

/** Opens no connection until the first question. */
export function createNode(options: NodeOptions): ChainNode {
  const { clock, chainId, internal } = options;
  const parsed = parseNodeAddress(options.url, ["http:", "https:"]);
  const name = options.duplicate === undefined ? parsed.name : `${parsed.name}#${options.duplicate}`;
  const address = { ...parsed, name };
  const record = createNodeRecord(name, clock, options.logger);
  const transport = createHttpTransport({
    address,
    clock,
    maxConnections: options.maxConnections ?? DEFAULT_CONNECTIONS,
    ...(options.limits === undefined ? {} : { limits: options.limits }),
    onDisconnect: () => guard.invalidate(),
  });
  const ask = createJsonRpc(transport, address);
  const guard = createChainIdGuard(ask, { chainId, nodeName: name }, clock);
  const source: BlockSource = { ask, abilities: freshAbilities(), internal, nodeName: name };

  /** Asks a question of the right chain, keeps the record, and names the node in every error. */
  const answering = async <Answer>(
    question: () => Promise<Answer>,
    signal?: AbortSignal,
  ): Promise<Answer> => {
    const startedAt = clock.monotonic();
    try {
      await guard.ensure(signal);
      const answer = await question();
      // The connection was lost meanwhile: what answered may not be what was checked.
      if (!guard.isValid()) await guard.ensure(signal);
      record.onAnswer(clock.monotonic() - startedAt);
      return answer;
    } catch (rawError) {
      if (signal?.aborted === true) throw rawError;
      guard.invalidate();
      const error = rawError instanceof AnswerRefused ? refused(name, rawError) : rawError;
      if (error instanceof DepositdError) record.onError(error);
      throw error;
    }
  };

  return {
    name,
    record,
    ...questions(source, record, answering),
    recheckChainId: (signal) => {
      guard.invalidate();
      return answering(() => guard.ensure(signal), signal);
    },
    probe: (signal) => probeNode(source, chainId, signal),
    close: transport.close,
  };
}

type Answering = <Answer>(question: () => Promise<Answer>, signal?: AbortSignal) => Promise<Answer>;

function questions(source: BlockSource, record: NodeRecord, answering: Answering): ChainQuestions {
  const { ask } = source;
  const askHead = async (signal?: AbortSignal) => {
    const header = checkHeader(await ask("eth_getBlockByNumber", ["latest", false], signal));
    record.onHead(header.number);
    return header;
  };
  return {
    head: (signal) => answering(() => askHead(signal), signal),
    headerByNumber: (number, signal) =>
      answering(() => askHeaderByNumber(ask, askHead, number, signal), signal),
    headerByHash: (hash, signal) =>
      answering(async () => {
        const answer = await ask("eth_getBlockByHash", [hash, false], signal);
        return answer === null ? null : checkHeader(answer, { hash });
      }, signal),
    tag: (tag, signal) => answering(() => askTag(ask, tag, signal), signal),
    blockByHash: (hash, signal) => answering(() => fetchBlockByHash(source, hash, signal), signal),
    blockByNumber: (number, signal) => answering(() => fetchBlockByNumber(source, number, signal), signal),
  };
}

async function askHeaderByNumber(
  ask: Ask,
  askHead: (signal?: AbortSignal) => Promise<BlockHeader>,
  number: bigint,
  signal?: AbortSignal,
): Promise<BlockHeader | null> {
  const answer = await ask("eth_getBlockByNumber", [blockNumberParameter(number), false], signal);
  if (answer !== null) return checkHeader(answer, { number });
  // A node behind a load balancer answers null for blocks that it has not yet, though the chain has.
  const head = await askHead(signal);
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

function refused(node: string, error: AnswerRefused): TemporaryError {
  return new TemporaryError(
    "node_answer_invalid",
    `The node ${node} gave an answer that cannot be: ${error.message}`,
    {
      node,
      ...error.facts,
    },
  );
}
