/**
 * Asks the chain's nodes, beside the following, up to which block they hold our branch. A chain that wants
 * witnesses credits only what so many of its nodes hold. Who agrees on a block's hash agrees on all blocks below it.
 *
 * Nobody waits for it: while nodes are silent or on other branches, deposits wait and blocks go on coming in.
 */
import type { BlockHeader } from "../core/chain.ts";
import { coerceError, DepositdError } from "../core/errors.ts";
import { isAnyDepositDue } from "../deposits/deposit-store.ts";
import type { NodeWitness } from "../rpc/chain-nodes.ts";
import { recordWitnessed } from "../scanner/chain-store.ts";
import { readReached } from "../scanner/cursor-store.ts";
import type { FollowerParts } from "./follower-parts.ts";
import type { LocalChain } from "./local-chain.ts";

export interface WitnessWatch {
  /** Asks the nodes, unless it is under way, not wanted, or known up to the cursor. */
  look(): void;
  /** Nothing is under way afterwards. */
  close(): Promise<void>;
}

/** A node that takes longer is asked again at the next look. */
const PATIENCE_MS = 5_000;

export function watchWitnesses(parts: FollowerParts, local: LocalChain): WitnessWatch {
  const closing = new AbortController();
  let known: BlockHeader | undefined;
  let underWay: Promise<void> | undefined;
  const lookOnce = async () => {
    try {
      const agreed = await askAll(parts, local, closing.signal);
      if (agreed !== undefined) known = agreed;
    } catch (rawError) {
      if (closing.signal.aborted) return;
      const error = coerceError(rawError);
      parts.logger.warn("Failed to record witnesses", { chain_id: parts.chain.id, error });
    } finally {
      underWay = undefined;
    }
  };
  return {
    look: () => {
      const isKnown = known?.hash === local.cursor().hash;
      if (parts.chain.witnesses > 1 && !isKnown && underWay === undefined) underWay = lookOnce();
    },
    close: async () => {
      closing.abort();
      await underWay;
    },
  };
}

/** @returns the highest block of ours that enough nodes hold, if one was recorded */
async function askAll(
  parts: FollowerParts,
  local: LocalChain,
  signal: AbortSignal,
): Promise<BlockHeader | undefined> {
  const { chain, nodes, clock } = parts;
  const done = new AbortController();
  const either = AbortSignal.any([signal, done.signal]);
  void clock.sleep(PATIENCE_MS, either).then(() => done.abort());
  const cursor = local.cursor();
  const held: BlockHeader[] = [];
  let agreed: BlockHeader | undefined;
  const ask = async (node: NodeWitness) => {
    const header = await heldUpTo(node, local, cursor, either);
    if (header === undefined) return;
    held.push(header);
    const next = agreedOn(held, chain.witnesses);
    if (next === undefined || (agreed !== undefined && next.number <= agreed.number)) return;
    agreed = next;
    await record(parts, local, next);
    if (next.number === cursor.number) done.abort(); // the others cannot add to it
  };
  try {
    await Promise.all(nodes.witnesses.map(ask));
  } finally {
    done.abort();
  }
  return agreed;
}

/** The highest block of our branch, not above the cursor, that a node is seen to hold. */
async function heldUpTo(
  node: NodeWitness,
  local: LocalChain,
  cursor: BlockHeader,
  signal: AbortSignal,
): Promise<BlockHeader | undefined> {
  try {
    const theirs = await node.headerByNumber(cursor.number, signal);
    if (theirs !== null) return theirs.hash === cursor.hash ? cursor : undefined;
    const head = await node.head(signal);
    const ours = local.at(head.number);
    return ours?.hash === head.hash ? ours : undefined;
  } catch (rawError) {
    if (signal.aborted || rawError instanceof DepositdError) return undefined; // its record tells of it
    throw rawError;
  }
}

/** The highest block that so many hold: of the heads in falling order, the one at that place. */
function agreedOn(held: readonly BlockHeader[], wanted: number): BlockHeader | undefined {
  return [...held].sort((a, b) => Number(b.number - a.number))[wanted - 1];
}

async function record(parts: FollowerParts, local: LocalChain, header: BlockHeader): Promise<void> {
  const { chain, database } = parts;
  const isNew = await database.transaction((tx) => recordWitnessed(tx, chain.id, local.leaseToken, header));
  if (!isNew) return;
  const reached = await readReached(database, chain.id);
  if (reached !== null && (await isAnyDepositDue(database, chain.id, reached))) {
    await parts.wakers.settleNow(chain.id, header.number);
  }
}
