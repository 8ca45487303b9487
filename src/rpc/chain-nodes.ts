/**
 * All nodes of one chain as if they were one: the first that is well is asked, the others when it fails, and
 * all of them again after a pause. One answer always comes from one node as a whole.
 */
import { setMaxListeners } from "node:events";
import type { BlockHeader } from "../core/chain.ts";
import { DepositdError, FatalError, TemporaryError } from "../core/errors.ts";
import type { Clock } from "../runtime/clock.ts";
import type { ChainConfig } from "../runtime/config/config.ts";
import type { Logger } from "../runtime/logger.ts";
import { type Random, systemRandom } from "../runtime/random.ts";
import { createHints } from "./hints.ts";
import type { HttpLimits } from "./http-transport.ts";
import { type ChainNode, type ChainQuestions, createNode } from "./node.ts";
import type { NodeStatus } from "./node-record.ts";
import type { NodeProbe } from "./probe.ts";

export interface ChainNodes extends ChainQuestions {
  readonly chainId: number;
  /** In the order of the config. */
  nodes(): NodeStatus[];
  /** What each node is and can do; opens no follower, changes no record. */
  probe(signal?: AbortSignal): Promise<NodeProbe[]>;
  /**
   * Asks every node for its chain id anew.
   *
   * @throws {DepositdError} `wrong_chain` when one that answers is of another chain, fatal when all are
   */
  recheckChainId(signal?: AbortSignal): Promise<void>;
  /**
   * Calls back with each new head that a node speaks of over its WebSocket. A hint is a reason to look, never a
   * fact: it may come late, twice, from a branch that was left, or not at all. The sockets are open as long as
   * somebody listens.
   *
   * @returns ends the listening
   */
  onHint(listener: (header: BlockHeader) => void): () => void;
  close(): Promise<void>;
}

export interface ChainNodesOptions {
  readonly chain: Pick<ChainConfig, "id" | "nodes" | "internal" | "blockTimeMs" | "fetchConcurrency">;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly random?: Random;
  readonly limits?: Partial<HttpLimits>;
  readonly retry?: Partial<RetryPolicy>;
}

/** How long a question is tried again here. The caller's signal ends it sooner; the caller's own loop goes on longer. */
export interface RetryPolicy {
  /** How often all nodes are asked. */
  readonly rounds: number;
  readonly firstPauseMs: number;
  readonly longestPauseMs: number;
}

/** Pauses of 100, 300 and 900 ms, each ± 25 %. */
const DEFAULT_RETRY: RetryPolicy = { rounds: 4, firstPauseMs: 100, longestPauseMs: 5_000 };

/** Opens no connection until the first question. */
export function createChainNodes(options: ChainNodesOptions): ChainNodes {
  const { chain, clock } = options;
  const logger = options.logger.with({ chain_id: chain.id });
  const nodes = createNodes(options, logger);
  const failover = createFailover(nodes, options);
  const hints = createHints({ chain, clock, logger, random: options.random ?? systemRandom });
  return {
    chainId: chain.id,
    head: (signal) => failover((node) => node.head(signal), signal),
    headerByNumber: (number, signal) =>
      firstFound(failover, (node) => node.headerByNumber(number, signal), signal),
    headerByHash: (hash, signal) => firstFound(failover, (node) => node.headerByHash(hash, signal), signal),
    tag: (tag, signal) => failover((node) => node.tag(tag, signal), signal),
    blockByHash: (hash, signal) => failover((node) => node.blockByHash(hash, signal), signal),
    blockByNumber: (number, signal) => failover((node) => node.blockByNumber(number, signal), signal),
    nodes: () => nodes.map((node) => node.record.status()),
    probe: (signal) => Promise.all(nodes.map((node) => node.probe(signal))),
    recheckChainId: (signal) => recheckAll(nodes, signal),
    onHint: hints.listen,
    close: async () => {
      await Promise.all([hints.close(), ...nodes.map((node) => node.close())]);
    },
  };
}

function createNodes(options: ChainNodesOptions, logger: Logger): ChainNode[] {
  const { chain, clock, limits } = options;
  const seen = new Map<string, number>();
  return chain.nodes.map(({ url }) => {
    const host = URL.canParse(url) ? new URL(url).host : "";
    const duplicate = (seen.get(host) ?? 0) + 1;
    seen.set(host, duplicate);
    return createNode({
      url,
      chainId: chain.id,
      internal: chain.internal,
      clock,
      logger,
      // A block in flight is up to three requests at once; beyond 64 connections a node gains nothing.
      maxConnections: Math.min(64, chain.fetchConcurrency * 3 + 2),
      ...(limits === undefined ? {} : { limits }),
      ...(duplicate === 1 ? {} : { duplicate }),
    });
  });
}

type Question<Answer> = (node: ChainNode) => Promise<Answer>;

/** Asks until a node gives an answer that `isEnough`; the last answer that is not stands in for a better one. */
type Failover = <Answer>(
  question: Question<Answer>,
  signal?: AbortSignal,
  isEnough?: (answer: Answer) => boolean,
) => Promise<Answer>;

/**
 * A node that has not got a block yet says the same as one that never will: `null` is believed only when every
 * node that answers says so.
 */
function firstFound<Found>(
  failover: Failover,
  question: Question<Found | null>,
  signal?: AbortSignal,
): Promise<Found | null> {
  return failover(question, signal, (answer) => answer !== null);
}

function createFailover(nodes: readonly ChainNode[], options: ChainNodesOptions): Failover {
  const { clock, random = systemRandom } = options;
  const retry = { ...DEFAULT_RETRY, ...options.retry };
  return async (question, signal, isEnough) => {
    // Each request under way listens to the signal; a warning at the eleventh would say nothing.
    if (signal !== undefined) setMaxListeners(0, signal);
    for (let round = 1; ; round++) {
      const outcome = await askInTurn(inOrder(nodes), question, signal, isEnough);
      if (outcome.isAnswered) return outcome.answer;
      const isHopeless = outcome.failures.every((failure) => !failure.retryable);
      if (isHopeless || round >= retry.rounds) throw worthTelling(outcome.failures, options.chain.id);
      const pause = Math.min(retry.longestPauseMs, retry.firstPauseMs * 3 ** (round - 1));
      await clock.sleep(pause * (0.75 + random.fraction() / 2), signal);
      signal?.throwIfAborted();
    }
  };
}

type Outcome<Answer> =
  | { readonly isAnswered: true; readonly answer: Answer }
  | { readonly isAnswered: false; readonly failures: readonly DepositdError[] };

async function askInTurn<Answer>(
  nodes: readonly ChainNode[],
  question: Question<Answer>,
  signal?: AbortSignal,
  isEnough: (answer: Answer) => boolean = () => true,
): Promise<Outcome<Answer>> {
  const failures: DepositdError[] = [];
  let standIn: Outcome<Answer> | undefined;
  for (const node of nodes) {
    try {
      const answer = await question(node);
      if (isEnough(answer)) return { isAnswered: true, answer };
      standIn = { isAnswered: true, answer };
    } catch (rawError) {
      signal?.throwIfAborted();
      if (!(rawError instanceof DepositdError)) throw rawError;
      failures.push(rawError);
    }
  }
  return standIn ?? { isAnswered: false, failures };
}

/** Those that rest after a failure come last, but they come: a tired node is better than none. */
function inOrder(nodes: readonly ChainNode[]): ChainNode[] {
  const resting = nodes.filter((node) => node.record.isResting());
  return [...nodes.filter((node) => !resting.includes(node)), ...resting];
}

/** A failure that may pass says more than one that will not, as long as there is one. */
function worthTelling(failures: readonly DepositdError[], chainId: number): DepositdError {
  const told = failures.find((failure) => failure.retryable) ?? failures[0];
  return told ?? new FatalError("config_invalid", `Chain ${chainId} has no nodes`, { chainId });
}

async function recheckAll(nodes: readonly ChainNode[], signal?: AbortSignal): Promise<void> {
  const outcomes = await Promise.allSettled(nodes.map((node) => node.recheckChainId(signal)));
  signal?.throwIfAborted();
  const wrong = outcomes.flatMap((outcome) =>
    outcome.status === "rejected" && isWrongChain(outcome.reason) ? [outcome.reason] : [],
  );
  const [first] = wrong;
  if (first === undefined) return;
  if (wrong.length === nodes.length) throw first;
  throw new TemporaryError("wrong_chain", first.message, first.facts, first);
}

function isWrongChain(error: unknown): error is DepositdError {
  return error instanceof DepositdError && error.code === "wrong_chain";
}
