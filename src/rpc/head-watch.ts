/**
 * Knows the head of every node, and follows one of them: the leader. Its branch is ours until it fails for good or
 * another is clearly the chain, so that two nodes on different branches do not make deposits go back and forth.
 *
 * The leader is asked when somebody wants the head. The others are asked once in a while beside it, and nobody
 * waits for them.
 */
import type { BlockHeader } from "../core/chain.ts";
import { coerceError, TemporaryError } from "../core/errors.ts";
import type { Hash } from "../core/hex.ts";
import type { Clock } from "../runtime/clock.ts";
import type { Logger } from "../runtime/logger.ts";
import { CLEAR_LEAD, isSameBranch, type NodeStanding } from "./choose-node.ts";
import type { ChainNode } from "./node.ts";

export interface HeadWatch {
  /** Index of the node whose branch is followed. */
  leader(): number;
  /** The head that was believed last. */
  head(): BlockHeader | null;
  standings(): NodeStanding[];
  /** The number of a block that was a head lately; `null` when it is not known. */
  numberOf(hash: Hash): bigint | null;
  /**
   * Asks one node, and follows it from then on.
   *
   * @throws {TemporaryError} `node_on_other_branch` when it is not the leader, and not clearly the chain
   */
  headOf(node: ChainNode, signal?: AbortSignal): Promise<BlockHeader>;
  /** Asks the nodes whose head is old; the answers come when they come. */
  refresh(): void;
  /** Nothing is under way afterwards. */
  close(): Promise<void>;
}

export interface HeadWatchOptions {
  readonly nodes: readonly ChainNode[];
  readonly chainId: number;
  readonly blockTimeMs: number;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** How often a node that is not followed is asked for its head: once a block, within these. */
const REFRESH_MS = { least: 1_000, most: 15_000 };
/** A head that was not heard again for so many refreshes says nothing about now. */
const FRESH_REFRESHES = 3;
/** How long a leader that fails is waited for, before a node on another branch is followed. */
const LOYALTY_MS = 10_000;
/** Numbers and hashes of our branch that are remembered. */
const REMEMBERED = 256;

export function createHeadWatch(options: HeadWatchOptions): HeadWatch {
  const { nodes, clock, logger, chainId } = options;
  const refreshMs = Math.min(REFRESH_MS.most, Math.max(REFRESH_MS.least, options.blockTimeMs));
  const loyaltyMs = Math.max(LOYALTY_MS, 3 * options.blockTimeMs);
  const closing = new AbortController();
  const underWay = new Map<ChainNode, Promise<void>>();
  const askedAt = new Map<ChainNode, number>();
  const branch = createRememberedBranch();
  let leader = 0;
  let believed: { readonly header: BlockHeader; readonly at: number } | undefined;

  const follow = (node: ChainNode, header: BlockHeader) => {
    const next = nodes.indexOf(node);
    if (next !== leader) {
      logger.info("Followed another node", {
        from: nodes[leader]?.name,
        to: node.name,
        head_number: header.number,
      });
    }
    leader = next;
    believed = { header, at: clock.monotonic() };
    branch.remember(header);
  };

  /** Whether the node may take the lead with this head. */
  const mayLead = async (node: ChainNode, header: BlockHeader, signal?: AbortSignal): Promise<boolean> => {
    if (believed === undefined || nodes.indexOf(node) === leader) return true;
    if (clock.monotonic() - believed.at >= loyaltyMs) return true;
    const ours = believed.header;
    if (header.number >= ours.number + CLEAR_LEAD) return true;
    if (isSameBranch(ours, header) || branch.has(header)) return true;
    if (header.number <= ours.number) return false;
    const theirs = await node.questions.head.headerByNumber(ours.number, signal);
    return theirs?.hash === ours.hash;
  };

  const refreshOne = async (node: ChainNode) => {
    try {
      await node.believableHead(believed?.header ?? null, closing.signal);
    } catch (rawError) {
      // The node's own record has it; nobody waits for this answer.
      if (!closing.signal.aborted)
        logger.debug("Failed to hear a node's head", { node: node.name, error: coerceError(rawError) });
    } finally {
      underWay.delete(node);
    }
  };

  const freshHead = (node: ChainNode): BlockHeader | null => {
    const head = node.record.head();
    if (head === null || clock.monotonic() - head.seenAt > FRESH_REFRESHES * refreshMs) return null;
    return head.header;
  };

  return {
    leader: () => leader,
    head: () => believed?.header ?? null,
    standings: () =>
      nodes.map((node) => ({
        isResting: node.record.isResting(),
        head: freshHead(node),
        lacksTraces: node.lacksTraces(),
        load: node.load(),
      })),
    numberOf: branch.numberOf,
    headOf: async (node, signal) => {
      askedAt.set(node, clock.monotonic());
      const header = await node.believableHead(believed?.header ?? null, signal);
      if (!(await mayLead(node, header, signal))) throw onOtherBranch(node.name, chainId, header);
      follow(node, header);
      return header;
    },
    refresh: () => {
      const now = clock.monotonic();
      for (const [index, node] of nodes.entries()) {
        if (index === leader || node.record.isResting() || underWay.has(node)) continue;
        if (now - (askedAt.get(node) ?? Number.NEGATIVE_INFINITY) < refreshMs) continue;
        askedAt.set(node, now);
        underWay.set(node, refreshOne(node));
      }
    },
    close: async () => {
      closing.abort();
      await Promise.all(underWay.values());
    },
  };
}

/** The last heads that were followed, and their parents. */
function createRememberedBranch() {
  const hashes = new Map<bigint, Hash>();
  const numbers = new Map<Hash, bigint>();
  const put = (number: bigint, hash: Hash) => {
    hashes.set(number, hash);
    numbers.set(hash, number);
  };
  return {
    remember: (header: BlockHeader) => {
      if (hashes.get(header.number) === header.hash) return;
      put(header.number, header.hash);
      if (header.number > 0n) put(header.number - 1n, header.parentHash);
      for (const map of [hashes, numbers]) {
        for (const key of map.keys()) {
          if (map.size <= REMEMBERED) break;
          (map as Map<unknown, unknown>).delete(key);
        }
      }
    },
    has: (header: BlockHeader) => hashes.get(header.number) === header.hash,
    numberOf: (hash: Hash): bigint | null => numbers.get(hash) ?? null,
  };
}

function onOtherBranch(node: string, chainId: number, header: BlockHeader): TemporaryError {
  return new TemporaryError(
    "node_on_other_branch",
    `The node ${node} is on another branch (block ${header.number}) than the one that is followed`,
    { node, chainId, number: header.number, hash: header.hash },
  );
}
