/** What a node is and can do, for `doctor` and for the start: everything is tried, nothing is assumed. */
import { type BlockHeader, FINALITY_TAGS, type FinalityTag } from "../core/chain.ts";
import { coerceError, DepositdError, type ErrorCode } from "../core/errors.ts";
import { AnswerRefused } from "./answer.ts";
import { readChainId } from "./chain-id-guard.ts";
import { blockNumberParameter, checkHeader } from "./check-block.ts";
import { type BlockSource, tracesMissing } from "./fetch-block.ts";
import { type Ask, isMethodMissing } from "./json-rpc.ts";

export interface NodeProbe {
  readonly node: string;
  /** `null`: it did not say. */
  readonly chainId: number | null;
  /** As the node calls itself, at most 100 characters. */
  readonly clientVersion: string | null;
  readonly head: BlockHeader | null;
  readonly receipts: "eth_getBlockReceipts" | "eth_getTransactionReceipt" | null;
  /** `null` where it offers neither, or inner calls are not looked for. */
  readonly traces: "debug_traceBlockByHash" | "trace_block" | null;
  readonly tags: Readonly<Record<FinalityTag, bigint | null>>;
  /** What stands in the way of following the chain through this node; empty when nothing does. */
  readonly problems: readonly NodeProblem[];
}

export interface NodeProblem {
  readonly code: ErrorCode;
  readonly message: string;
}

/** Throws only when the signal aborts. */
export async function probeNode(
  source: BlockSource,
  expectedChainId: number,
  signal?: AbortSignal,
): Promise<NodeProbe> {
  const { ask, nodeName } = source;
  const problems: NodeProblem[] = [];
  const attempt = <Answer>(question: () => Promise<Answer>): Promise<Answer | null> =>
    question().catch((rawError: unknown) => {
      signal?.throwIfAborted();
      problems.push(problemOf(rawError));
      return null;
    });

  const chainId = await attempt(() => readChainId(ask, signal));
  if (chainId !== null && chainId !== expectedChainId) {
    const message = `The node ${nodeName} is of chain ${chainId}, not of chain ${expectedChainId}`;
    problems.push({ code: "wrong_chain", message });
  }
  const head = await attempt(async () =>
    checkHeader(await ask("eth_getBlockByNumber", ["latest", false], signal)),
  );
  // Without these the rest would only repeat the same failure.
  if (chainId === null || head === null) return { ...nothingOf(nodeName), chainId, head, problems };

  return {
    node: nodeName,
    chainId,
    clientVersion: await readClientVersion(ask, signal),
    head,
    receipts: await attempt(() => findReceipts(ask, head, signal)),
    traces: source.internal === "none" ? null : await attempt(() => findTraces(source, head, signal)),
    tags: await readTags(ask, signal),
    problems,
  };
}

function nothingOf(node: string) {
  return { node, clientVersion: null, receipts: null, traces: null, tags: { safe: null, finalized: null } };
}

async function findReceipts(
  ask: Ask,
  head: BlockHeader,
  signal?: AbortSignal,
): Promise<NodeProbe["receipts"]> {
  const isOffered = await isMethodOffered(ask, "eth_getBlockReceipts", [head.hash], signal);
  return isOffered ? "eth_getBlockReceipts" : "eth_getTransactionReceipt";
}

/**
 * Tries the head itself: nothing less says that blocks can be traced.
 *
 * @throws {FatalError} `node_method_missing` when the node offers neither method
 */
export async function findTraces(
  source: BlockSource,
  head: BlockHeader,
  signal?: AbortSignal,
): Promise<NonNullable<NodeProbe["traces"]>> {
  const byHash = [head.hash, { tracer: "callTracer" }];
  if (await isMethodOffered(source.ask, "debug_traceBlockByHash", byHash, signal))
    return "debug_traceBlockByHash";
  const byNumber = [blockNumberParameter(head.number)];
  if (await isMethodOffered(source.ask, "trace_block", byNumber, signal)) return "trace_block";
  throw tracesMissing(source);
}

/** Any other failure than "no such method" is one of this moment, and is thrown. */
async function isMethodOffered(
  ask: Ask,
  method: string,
  params: readonly unknown[],
  signal?: AbortSignal,
): Promise<boolean> {
  try {
    await ask(method, params, signal);
    return true;
  } catch (rawError) {
    if (isMethodMissing(rawError)) return false;
    throw rawError;
  }
}

/** A chain without these tags is no problem by itself; whether the policy needs them is the config's to say. */
async function readTags(ask: Ask, signal?: AbortSignal): Promise<NodeProbe["tags"]> {
  const tags: Record<FinalityTag, bigint | null> = { safe: null, finalized: null };
  for (const tag of FINALITY_TAGS) {
    const answer = await ask("eth_getBlockByNumber", [tag, false], signal).catch(() => null);
    signal?.throwIfAborted();
    if (answer !== null) tags[tag] = checkHeaderNumber(answer);
  }
  return tags;
}

function checkHeaderNumber(answer: unknown): bigint | null {
  try {
    return checkHeader(answer).number;
  } catch {
    return null; // a tag that cannot be read is a tag that cannot be used
  }
}

async function readClientVersion(ask: Ask, signal?: AbortSignal): Promise<string | null> {
  const answer = await ask("web3_clientVersion", [], signal).catch(() => null);
  return typeof answer === "string" ? answer.slice(0, 100) : null;
}

function problemOf(rawError: unknown): NodeProblem {
  if (rawError instanceof AnswerRefused) return { code: "node_answer_invalid", message: rawError.message };
  if (rawError instanceof DepositdError) return { code: rawError.code, message: rawError.message };
  return { code: "node_error", message: coerceError(rawError).message };
}
