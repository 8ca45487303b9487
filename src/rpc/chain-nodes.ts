/**
 * All nodes of one chain as if they were one. For the head the leader is asked, and the others when it fails; for
 * catching up all that are well share the work. One answer always comes from one node as a whole.
 *
 * Questions are for the head unless they are asked of `backfill`, which has a budget of its own at each node.
 */
import type { BlockHeader } from "../core/chain.ts";
import { DepositdError, TemporaryError } from "../core/errors.ts";
import type { Address } from "../core/hex.ts";
import type { Clock } from "../runtime/clock.ts";
import type { ChainConfig } from "../runtime/config/config.ts";
import type { Logger } from "../runtime/logger.ts";
import { type Random, systemRandom } from "../runtime/random.ts";
import type { BalanceQuestion } from "./balance.ts";
import { type WitnessedBalance, witnessBalance } from "./balance-witnesses.ts";
import { type ChainVerifier, createChainVerifier, type VerificationEvents } from "./chain-verifier.ts";
import { orderForBackfill, orderForBlock, orderForHead } from "./choose-node.ts";
import { createFailover, type Failover, type RetryPolicy, worthTelling } from "./failover.ts";
import type { LogQuery } from "./fetch-logs.ts";
import { createHeadWatch, type HeadWatch } from "./head-watch.ts";
import { createHints } from "./hints.ts";
import type { HttpLimits } from "./http-transport.ts";
import { type AskAnyNode, type WitnessedLogs, witnessLogs } from "./log-witnesses.ts";
import { type ChainNode, type ChainQuestions, createNode } from "./node.ts";
import type { NodeStatus } from "./node-record.ts";
import type { NodeProbe } from "./probe.ts";
import { proveSomeBlocks } from "./prove-some-blocks.ts";
import type { Purpose } from "./request-limit.ts";
import type { TokenWords } from "./token-words.ts";

export interface ChainNodes extends ChainQuestions {
  readonly chainId: number;
  /** The same questions for blocks that were missed: they never delay those about the head. */
  readonly backfill: BackfillQuestions;
  /** Each node by itself, for what several of them have to agree on. */
  readonly witnesses: readonly NodeWitness[];
  /** In the order of the config. */
  nodes(): NodeStatus[];
  /** What each node is and can do; opens no follower, changes no record. */
  probe(signal?: AbortSignal): Promise<NodeProbe[]>;
  /**
   * Makes sure that blocks can be had as the config wants them, before the first one is.
   *
   * @throws {FatalError} `node_method_missing` when inner calls are wanted, and no node offers traces
   */
  expectTraces(signal?: AbortSignal): Promise<void>;
  /** What a token's contract says of itself, as one node tells it. */
  tokenWords(token: Address, signal?: AbortSignal): Promise<TokenWords>;
  /** What an address held after a block, if so many nodes tell the same. Never throws for what nodes do. */
  balance(question: BalanceQuestion, wanted: number, signal?: AbortSignal): Promise<WitnessedBalance>;
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
  onHint(listener: HintListener): () => void;
  /** What the blocks are held to, and how that goes. */
  readonly verification: Omit<ChainVerifier, "verify">;
  close(): Promise<void>;
}

export interface BackfillQuestions extends ChainQuestions {
  /** Where tokens moved to some recipients, as two nodes tell it where two answer. */
  logs(query: LogQuery, signal?: AbortSignal): Promise<WitnessedLogs>;
}

export type NodeWitness = Pick<ChainQuestions, "head" | "headerByNumber">;

/** @param isFromLeader the node's branch is the one that is followed; of another the block is not to be fetched */
export type HintListener = (header: BlockHeader, isFromLeader: boolean) => void;

export interface ChainNodesOptions {
  readonly chain: Pick<ChainConfig, "id" | "nodes" | "internal" | "blockTimeMs" | "verification">;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly random?: Random;
  readonly limits?: Partial<HttpLimits>;
  readonly retry?: Partial<RetryPolicy>;
  readonly events?: Partial<VerificationEvents>;
  /** In place of the chain's own. */
  readonly verifier?: ChainVerifier;
}

/** Opens no connection until the first question. */
export function createChainNodes(options: ChainNodesOptions): ChainNodes {
  const { chain, clock, random = systemRandom } = options;
  const logger = options.logger.with({ chain_id: chain.id });
  // The one needs the other: blocks are judged by what other blocks of the same nodes have proved.
  const verifier =
    options.verifier ??
    createChainVerifier({
      mode: chain.verification,
      nodeCount: chain.nodes.length,
      logger,
      events: { onRefused: () => undefined, onDropped: () => undefined, ...options.events },
      probe: (next, signal) =>
        proveSomeBlocks(
          { failover, head: atHead.head, order: ordersFor("head", { nodes, watch }).ableFirst },
          next,
          signal,
        ),
    });
  const nodes = createNodes(options, logger, verifier);
  const watch = createHeadWatch({ nodes, chainId: chain.id, blockTimeMs: chain.blockTimeMs, clock, logger });
  const failover = createFailover({ chainId: chain.id, clock, random, retry: options.retry });
  const hints = createHints({ chain, clock, logger, random });
  const parts = { nodes, watch, failover, verifier };
  const atHead = questionsFor("head", parts);
  return {
    chainId: chain.id,
    ...atHead,
    backfill: {
      ...questionsFor("backfill", parts),
      logs: (query, signal) => witnessLogs(askAnyOf(parts, options), query, signal),
    },
    verification: verifier,
    witnesses: nodes.map((node) => node.questions.head),
    nodes: () => nodes.map((node, index) => ({ ...node.status(), isLeading: index === watch.leader() })),
    probe: (signal) => Promise.all(nodes.map((node) => node.probe(signal))),
    expectTraces: (signal) => expectTraces(nodes, chain.id, signal),
    tokenWords: (token, signal) =>
      failover(
        {
          order: ordersFor("head", { nodes, watch }).leaderFirst,
          question: (node) => node.tokenWords(token, signal),
        },
        signal,
      ),
    balance: (question, wanted, signal) =>
      witnessBalance(ordersFor("head", { nodes, watch }).leaderFirst(), question, wanted, signal),
    recheckChainId: (signal) => recheckAll(nodes, signal),
    onHint: (listener) => hints.listen((header, node) => listener(header, node === watch.leader())),
    close: async () => {
      await Promise.all([hints.close(), watch.close(), ...nodes.map((node) => node.close())]);
    },
  };
}

function createNodes(options: ChainNodesOptions, logger: Logger, verifier: ChainVerifier): ChainNode[] {
  const { chain, clock, limits } = options;
  const seen = new Map<string, number>();
  return chain.nodes.map(({ url, maxConcurrency }) => {
    const host = URL.canParse(url) ? new URL(url).host : "";
    const duplicate = (seen.get(host) ?? 0) + 1;
    seen.set(host, duplicate);
    return createNode({
      url,
      chainId: chain.id,
      internal: chain.internal,
      clock,
      logger,
      verifier,
      ...(maxConcurrency === null ? {} : { maxConcurrency }),
      ...(limits === undefined ? {} : { limits }),
      ...(duplicate === 1 ? {} : { duplicate }),
    });
  });
}

interface Parts {
  readonly nodes: readonly ChainNode[];
  readonly watch: HeadWatch;
  readonly failover: Failover;
  readonly verifier: ChainVerifier;
}

/** Whom to ask first; see `choose-node.ts`. */
function ordersFor(purpose: Purpose, { nodes, watch }: Pick<Parts, "nodes" | "watch">) {
  const chosen = (indexes: readonly number[]) =>
    indexes.flatMap((index) => {
      const node = nodes[index];
      return node === undefined ? [] : [node];
    });
  const leaderFirst = () => {
    watch.refresh();
    return chosen(orderForHead(watch.standings(), watch.leader()));
  };
  const ableFirst = (number: bigint | null) => () => {
    watch.refresh();
    const standings = watch.standings();
    const leader = watch.leader();
    if (purpose === "head" || number === null) return chosen(orderForBlock(standings, leader, number));
    return chosen(orderForBackfill(standings, leader, number, watch.head()?.number ?? null));
  };
  return { leaderFirst, ableFirst };
}

function questionsFor(purpose: Purpose, parts: Parts): ChainQuestions {
  const { watch, failover, verifier } = parts;
  const { leaderFirst, ableFirst } = ordersFor(purpose, parts);
  const ask = <Answer>(question: (node: ChainQuestions) => Promise<Answer>) => ({
    question: (node: ChainNode) => question(node.questions[purpose]),
  });
  // A node that has not got a block yet says the same as one that never will: `null` is believed only when every
  // node that answers says so.
  const isEnough = (answer: BlockHeader | null) => answer !== null;
  return {
    head: (signal) =>
      failover({ order: leaderFirst, question: (node) => watch.headOf(node, signal) }, signal),
    tag: (tag, signal) => failover({ order: leaderFirst, ...ask((node) => node.tag(tag, signal)) }, signal),
    headerByNumber: (number, signal) =>
      failover(
        { order: leaderFirst, isEnough, ...ask((node) => node.headerByNumber(number, signal)) },
        signal,
      ),
    headerByHash: (hash, signal) =>
      failover({ order: leaderFirst, isEnough, ...ask((node) => node.headerByHash(hash, signal)) }, signal),
    blockByHash: async (hash, signal) => {
      await verifier.ready(signal);
      const order = ableFirst(watch.numberOf(hash));
      return failover({ order, ...ask((node) => node.blockByHash(hash, signal)) }, signal);
    },
    blockByNumber: async (number, signal, isNameWanted) => {
      await verifier.ready(signal);
      const question = ask((node) => node.blockByNumber(number, signal, isNameWanted));
      return failover({ order: ableFirst(number), ...question }, signal);
    },
  };
}

/** All that are well share the work; a second opinion is asked for once, as whoever wants it can do without. */
function askAnyOf({ nodes, watch, failover }: Parts, options: ChainNodesOptions): AskAnyNode {
  const { clock, chain, retry, random = systemRandom } = options;
  const once = createFailover({ chainId: chain.id, clock, random, retry: { ...retry, rounds: 1 } });
  return (question, lastBlock, except, signal) => {
    if (nodes.every(({ name }) => name === except)) return undefined;
    const order = () => {
      watch.refresh();
      const head = watch.head()?.number ?? null;
      const indexes = orderForBackfill(watch.standings(), watch.leader(), lastBlock, head);
      return indexes.flatMap((index) => nodes[index] ?? []).filter(({ name }) => name !== except);
    };
    return (except === null ? failover : once)({ order, question }, signal);
  };
}

/** One node that traces is enough: the others are asked for headers only. */
async function expectTraces(
  nodes: readonly ChainNode[],
  chainId: number,
  signal?: AbortSignal,
): Promise<void> {
  const failures: DepositdError[] = [];
  const tracing = nodes.map(async (node) => {
    try {
      await node.expectTraces(signal);
    } catch (rawError) {
      if (rawError instanceof DepositdError) failures.push(rawError);
      throw rawError;
    }
  });
  await Promise.any(tracing).catch((rawError: unknown) => {
    signal?.throwIfAborted();
    throw failures.length > 0 ? worthTelling(failures, chainId) : rawError;
  });
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
