/**
 * Follows one chain: the worker that holds its lease and moves its cursor.
 *
 *   waiting    another daemon holds the lease             → following, when the lease is free
 *   following  look at the head; ingest, or undo a reorg; sleep until a hint or the next poll
 *   halted     a reorg reaches below the kept block refs  → following, only by an operator
 *
 * Every look at the head ends in one of the cases of `reconcile`. Whatever goes wrong ends the run with an error;
 * the supervisor starts it again, and it reads its state anew from the database.
 */
import type { BlockHeader } from "../core/chain.ts";
import type { Deposit } from "../core/deposit.ts";
import { DepositdError, TemporaryError } from "../core/errors.ts";
import { createWakeup, type Wakeup } from "../runtime/wakeup.ts";
import { getChainState, haltChain, recordHead } from "../scanner/chain-store.ts";
import { findCommonAncestor } from "../scanner/common-ancestor.ts";
import { reconcile } from "../scanner/reconcile.ts";
import { catchUp, ingestNext } from "./catch-up.ts";
import { checkNativeLogs } from "./check-native-logs.ts";
import { checkTokens } from "./check-tokens.ts";
import type { FollowerParts } from "./follower-parts.ts";
import type { LocalChain } from "./local-chain.ts";
import { noteHead } from "./note-head.ts";
import { openLocalChain } from "./open-local-chain.ts";
import { undoReorg } from "./undo-reorg.ts";
import { restoreVerification } from "./verification.ts";
import { type WitnessWatch, watchWitnesses } from "./watch-witnesses.ts";
import { whileLeased } from "./while-leased.ts";

const HALTED_POLL_MS = 5_000;

/** Runs until the signal aborts. */
export function followChain(parts: FollowerParts, signal: AbortSignal): Promise<void> {
  return whileLeased(parts, (leaseToken, underLease) => follow(parts, leaseToken, underLease), signal);
}

async function follow(parts: FollowerParts, leaseToken: bigint, signal: AbortSignal): Promise<void> {
  const wakeup = createWakeup(parts.clock);
  const hints = watchHints(parts, wakeup);
  let witnesses: WitnessWatch | undefined;
  try {
    // Before the first block, and before a cursor says that the chain is followed.
    await parts.nodes.expectTraces(signal);
    await checkTokens(parts, signal);
    await restoreVerification(parts.database, parts.nodes);
    await checkNativeLogs(parts, signal);
    const local = await openLocalChain(parts, leaseToken, signal);
    witnesses = watchWitnesses(parts, local);
    let isHalted = (await getChainState(parts.database, parts.chain.id)).state === "halted";
    while (!signal.aborted) {
      isHalted ||= await lookAtHead(parts, local, hints, signal);
      parts.onWell?.();
      if (isHalted) return await untilResumed(parts, local, signal);
      witnesses.look();
      await wakeup.sleep(parts.chain.pollIntervalMs, signal);
    }
  } catch (rawError) {
    if (!signal.aborted) throw rawError;
  } finally {
    hints.close();
    await witnesses?.close();
  }
}

/**
 * Whoever resumes the chain takes the lease away and chooses its cursor: what is known here of it is over then. Whoever
 * is to decide on that sees meanwhile where the nodes are.
 */
async function untilResumed(parts: FollowerParts, local: LocalChain, signal: AbortSignal): Promise<void> {
  const { database, chain, nodes } = parts;
  for (;;) {
    const kept = await getChainState(database, chain.id);
    if (kept.state !== "halted" || signal.aborted) return;
    const head = await nodes.head(signal);
    await recordHead(database, chain.id, local.leaseToken, { ...kept, headNumber: head.number });
    await parts.clock.sleep(HALTED_POLL_MS, signal);
  }
}

/** The newest head that the leading node spoke of over its WebSocket; used once, and only to save a round trip. */
interface Hints {
  take(): BlockHeader | undefined;
  /** From now on they are a reason to look and no more. */
  distrust(): void;
  close(): void;
}

function watchHints(parts: FollowerParts, wakeup: Wakeup): Hints {
  let newest: BlockHeader | undefined;
  let isTrusted = true;
  const close = parts.nodes.onHint((header, isFromLeader) => {
    if (isFromLeader && isTrusted) newest = header;
    wakeup.wake();
  });
  return {
    take: () => {
      const taken = newest;
      newest = undefined;
      return taken;
    },
    distrust: () => {
      isTrusted = false;
    },
    close,
  };
}

/**
 * One look: brings the cursor to where the head is, over a reorg if need be.
 *
 * @returns whether the chain was halted on the way
 */
async function lookAtHead(
  parts: FollowerParts,
  local: LocalChain,
  hints: Hints,
  signal: AbortSignal,
): Promise<boolean> {
  // A hint that follows the cursor is ingested at once; any other is only a reason to ask.
  const hint = hints.take();
  if (hint !== undefined && hint.parentHash === local.cursor().hash)
    await ingestHinted(parts, local, hint, hints, signal);
  const head = await parts.nodes.head(signal);
  const arrival = await bringTo(parts, local, head, signal);
  if (arrival === "halted") return true;
  await noteHead(parts, local, head, signal);
  return false;
}

/** Where no node has its block, the polling decides as ever: whoever can write into the socket must not stop that. */
async function ingestHinted(
  parts: FollowerParts,
  local: LocalChain,
  hint: BlockHeader,
  hints: Hints,
  signal: AbortSignal,
): Promise<void> {
  try {
    await ingestNext(parts, local, hint, signal);
  } catch (rawError) {
    if (signal.aborted || !(rawError instanceof DepositdError) || !rawError.code.startsWith("node_"))
      throw rawError;
    hints.distrust();
    parts.logger.warn("Was told over a WebSocket of a block that no node has", {
      chain_id: parts.chain.id,
      block_number: hint.number,
      block_hash: hint.hash,
      error: rawError,
    });
  }
}

type Arrival = "halted" | undefined;

async function bringTo(
  parts: FollowerParts,
  local: LocalChain,
  head: BlockHeader,
  signal: AbortSignal,
): Promise<Arrival> {
  const step = reconcile(local, head);
  switch (step.case) {
    case "same":
    case "behind":
      return undefined;
    case "next":
      await ingestNext(parts, local, head, signal);
      return undefined;
    case "gap": {
      const other = await catchUp(parts, local, head, signal);
      return other === undefined ? undefined : handleReorg(parts, local, other, signal);
    }
    case "reorg":
      return handleReorg(parts, local, head, signal);
  }
}

/**
 * Leaves our branch for the one that `header` is on; the next look ingests it. A header alone proves nothing, and what
 * is undone is told to merchants: so the other branch has to show a whole block that proves what it must.
 */
async function handleReorg(
  parts: FollowerParts,
  local: LocalChain,
  header: BlockHeader,
  signal: AbortSignal,
): Promise<Arrival> {
  const { chain, database, logger } = parts;
  const found = await findCommonAncestor(parts.nodes, local, header, signal);
  if (found.tooDeep) {
    await parts.nodes.blockByHash(header.hash, signal);
    return halt(parts, local, header);
  }
  if (found.first !== null) await parts.nodes.blockByHash(found.first.hash, signal);
  const depth = Number(local.cursor().number - found.ancestor.number);
  const undone = await undoReorg(database, local.claim(), found.ancestor);
  local.rewindTo(found.ancestor);
  parts.metrics.onReorg(chain.id, depth, undone.orphaned.length, undone.reversed.length);
  logger.warn("Undid a reorg", {
    chain_id: chain.id,
    reorg_depth: depth,
    ancestor_number: found.ancestor.number,
    orphaned_count: undone.orphaned.length,
    reversed_count: undone.reversed.length,
  });
  tellShortfalls(parts, undone.reversed);
  if (undone.deliveryCount > 0) await parts.wakers.deliver();
  // Nothing to undo: the nodes changed branches between two answers. The next look sees where they are.
  return depth > 0 ? bringTo(parts, local, header, signal) : undefined;
}

async function halt(
  { chain, database, logger }: FollowerParts,
  local: LocalChain,
  header: BlockHeader,
): Promise<Arrival> {
  const reason = `A reorg reaches below block ${local.lowest()}, the oldest that is kept (reorgWindow ${chain.reorgWindow})`;
  if (!(await haltChain(database, chain.id, local.leaseToken, reason)))
    throw new TemporaryError("lease_lost", "Another daemon follows this chain now", { chainId: chain.id });
  logger.error("Halted a chain", {
    chain_id: chain.id,
    reason,
    head_number: header.number,
    head_hash: header.hash,
  });
  return "halted";
}

/** The alarm: a branch took back what a user had spent already. */
function tellShortfalls({ chain, logger, metrics }: FollowerParts, reversed: readonly Deposit[]): void {
  for (const deposit of reversed) {
    if (deposit.shortfallBaseUnits === null || deposit.shortfallBaseUnits === 0n) continue;
    metrics.onShortfall(chain.id);
    logger.error("Reversed a deposit that was already spent", {
      chain_id: chain.id,
      deposit_id: deposit.id,
      merchant_id: deposit.merchantId,
      user_id: deposit.userId,
      currency: deposit.currency,
      amount_base_units: deposit.amountBaseUnits,
      shortfall_base_units: deposit.shortfallBaseUnits,
    });
  }
}
