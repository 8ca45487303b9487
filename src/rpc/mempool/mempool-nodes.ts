/**
 * The mempools of all nodes of a chain, over connections of their own: whatever goes wrong here, however slow or
 * large an answer is, the follower's questions neither wait for it nor hear of it.
 */
import { setMaxListeners } from "node:events";
import { coerceError, DepositdError } from "../../core/errors.ts";
import type { Address, Hash } from "../../core/hex.ts";
import type { Clock } from "../../runtime/clock.ts";
import type { NodeConfig } from "../../runtime/config/config.ts";
import { silentLogger } from "../../runtime/logger.ts";
import { createAnswering } from "../answering.ts";
import { createChainIdGuard } from "../chain-id-guard.ts";
import { createHttpTransport } from "../http-transport.ts";
import { type Ask, createJsonRpc } from "../json-rpc.ts";
import { parseNodeAddress } from "../node-address.ts";
import { createNodeRecord, type NodeRecord } from "../node-record.ts";
import { findNonceUse, type NonceUse } from "./nonce-use.ts";
import {
  createPendingSource,
  findMempoolMethod,
  type MempoolLook,
  type MempoolMethod,
} from "./pending-source.ts";
import { readWhereabouts, type Whereabouts } from "./pending-transaction.ts";

export interface MempoolNodes {
  /** One look at every node's mempool; what fails is left out. Throws only when the signal aborts. */
  look(signal?: AbortSignal): Promise<MempoolLook & { readonly isAnswered: boolean }>;
  /**
   * `waiting` or `mined` when any node says so, `unknown` when none of those that answer knows it, `null` when
   * none answers.
   */
  whereIs(hash: Hash, signal?: AbortSignal): Promise<Whereabouts | null>;
  /** What became of a sender's nonce on the chain; `null` when no node says. */
  nonceUse(sender: Address, nonce: bigint, signal?: AbortSignal): Promise<NonceUse | null>;
  /** How each node is asked by now, and what it did wrong last; for people. */
  status(): MempoolProbe[];
  /** What each node offers, anew. */
  probe(signal?: AbortSignal): Promise<MempoolProbe[]>;
  close(): Promise<void>;
}

export interface MempoolProbe {
  readonly node: string;
  readonly method: MempoolMethod | null;
  /** What the node did wrong last; `null` while it is well. */
  readonly problem: string | null;
}

export interface MempoolNodesOptions {
  readonly chain: {
    readonly id: number;
    readonly nodes: readonly Pick<NodeConfig, "url" | "maxConcurrency">[];
  };
  readonly clock: Clock;
}

/** A pool of a hundred thousand transactions; beyond it the next method is taken. */
const LIMITS = { headersTimeoutMs: 5_000, totalTimeoutMs: 20_000, maxAnswerBytes: 64 * 1024 * 1024 };
/** Few, so that the node has its time for blocks; fewer where the config allows it few. */
const CONNECTIONS = 6;

/** Opens no connection until the first question. */
export function createMempoolNodes({ chain, clock }: MempoolNodesOptions): MempoolNodes {
  const nodes = chain.nodes.map((node) => createMempoolNode(node, chain.id, clock));
  const awake = () => nodes.filter((node) => !node.record.isResting());
  const askAll = async <Answer>(
    question: (node: MempoolNode) => Promise<Answer>,
    signal?: AbortSignal,
  ): Promise<Answer[]> => {
    if (signal !== undefined) setMaxListeners(0, signal);
    const outcomes = await Promise.allSettled(awake().map(question));
    signal?.throwIfAborted();
    return outcomes.flatMap((outcome) => (outcome.status === "fulfilled" ? [outcome.value] : told(outcome)));
  };
  return {
    look: async (signal) => {
      const looks = await askAll((node) => node.look(signal), signal);
      return {
        ...joined(looks),
        isAnswered: looks.length > 0 && nodes.some((node) => node.method() !== null),
      };
    },
    whereIs: async (hash, signal) => {
      const found = await askAll((node) => node.whereIs(hash, signal), signal);
      return (
        found.find(({ is }) => is === "mined") ?? found.find(({ is }) => is === "waiting") ?? found[0] ?? null
      );
    },
    nonceUse: async (sender, nonce, signal) => {
      const found = await askAll((node) => node.nonceUse(sender, nonce, signal), signal);
      return found.find(({ by }) => by !== null) ?? found.find(({ isUsed }) => isUsed) ?? found[0] ?? null;
    },
    status: () =>
      nodes.map(({ name, record, method }) => {
        const { state, lastError } = record.status();
        return {
          node: name,
          method: method(),
          problem: state === "ok" ? null : (lastError?.message ?? null),
        };
      }),
    probe: (signal) => Promise.all(nodes.map((node) => node.probe(signal))),
    close: async () => {
      await Promise.all(nodes.map((node) => node.close()));
    },
  };
}

/** What a node does wrong is in its record; anything else is a fault of ours, and must not be hidden. */
function told(outcome: PromiseRejectedResult): [] {
  if (outcome.reason instanceof DepositdError) return [];
  throw coerceError(outcome.reason);
}

function joined(looks: readonly MempoolLook[]): MempoolLook {
  const sum = (count: (look: MempoolLook) => number) => looks.reduce((total, look) => total + count(look), 0);
  return {
    transactions: looks.flatMap((look) => look.transactions),
    junkCount: sum((look) => look.junkCount),
    leftOutCount: sum((look) => look.leftOutCount),
  };
}

interface MempoolNode {
  readonly name: string;
  readonly record: NodeRecord;
  method(): MempoolMethod | null;
  look(signal?: AbortSignal): Promise<MempoolLook>;
  whereIs(hash: Hash, signal?: AbortSignal): Promise<Whereabouts>;
  nonceUse(sender: Address, nonce: bigint, signal?: AbortSignal): Promise<NonceUse>;
  probe(signal?: AbortSignal): Promise<MempoolProbe>;
  close(): Promise<void>;
}

function createMempoolNode(
  { url, maxConcurrency }: Pick<NodeConfig, "url" | "maxConcurrency">,
  chainId: number,
  clock: Clock,
): MempoolNode {
  const address = parseNodeAddress(url, ["http:", "https:"]);
  const record = createNodeRecord(address.name, clock, silentLogger);
  const transport = createHttpTransport({
    address,
    clock,
    maxConnections: Math.min(CONNECTIONS, maxConcurrency ?? CONNECTIONS),
    limits: LIMITS,
    onDisconnect: () => guard.invalidate(),
  });
  const ask: Ask = createJsonRpc(transport, address);
  const guard = createChainIdGuard(ask, { chainId, nodeName: address.name }, clock);
  const source = createPendingSource(ask, chainId);

  const answering = createAnswering({ nodeName: address.name, guard, record });

  return {
    name: address.name,
    record,
    method: source.method,
    look: (signal) => answering(() => source.look(signal), signal),
    whereIs: (hash, signal) =>
      answering(
        async () => readWhereabouts(await ask("eth_getTransactionByHash", [hash], signal), hash),
        signal,
      ),
    nonceUse: (sender, nonce, signal) => answering(() => findNonceUse(ask, sender, nonce, signal), signal),
    probe: async (signal) => {
      try {
        const method = await answering(() => findMempoolMethod(ask, signal), signal);
        return { node: address.name, method, problem: null };
      } catch (rawError) {
        signal?.throwIfAborted();
        return { node: address.name, method: null, problem: coerceError(rawError).message };
      }
    },
    close: transport.close,
  };
}
