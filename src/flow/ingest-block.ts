/**
 * [tx] Ingests blocks: one at the head, many when catching up.
 *
 * Cursor compare-and-swap → block refs → last look at new addresses → deposits → events and deliveries, all or
 * nothing. A second follower, a stale one or a replay changes nothing: the compare-and-swap refuses it.
 */
import { bandFor, dueBlock, thresholdText } from "../confirmations/threshold.ts";
import type { BlockTransfers, NativeSource, Transfer } from "../core/chain.ts";
import { type Deposit, isUnmeasured } from "../core/deposit.ts";
import { TemporaryError } from "../core/errors.ts";
import type { Address, Hash } from "../core/hex.ts";
import { verificationOf } from "../core/verification.ts";
import type { Database, Sql } from "../db/database.ts";
import { insertSeenDeposits, isAnyDepositDue } from "../deposits/deposit-store.ts";
import {
  type AssetsByToken,
  judgeTransfer,
  type MatchedTransfer,
  type SeenDeposit,
} from "../deposits/judge-transfer.ts";
import type { AddressTable } from "../matcher/address-table.ts";
import { matchTransfers } from "../matcher/match-transfers.ts";
import { closeRegistrationGate } from "../merchants/address-store.ts";
import { depositEvent } from "../outbox/deposit-event.ts";
import { appendEvents } from "../outbox/event-store.ts";
import { insertScreenings, type ScreeningKey } from "../review/screening-store.ts";
import { deleteBlockRefsUpTo, insertBlockRefs, type NewBlockRef } from "../scanner/block-ref-store.ts";
import { type CursorClaim, holdCursor, moveCursor } from "../scanner/cursor-store.ts";
import { type AddressWatch, loadNewAddresses } from "./watch-addresses.ts";

export const thresholdRules = { bandFor, dueBlock, thresholdText };

export interface IngestContext {
  readonly database: Database;
  readonly chainId: number;
  readonly assets: AssetsByToken;
  readonly nativeSource: NativeSource;
  /** Wallets of the merchants' own: what they send is not a deposit. */
  readonly ownWallets: ReadonlySet<Address>;
  readonly reorgWindow: number;
  readonly watch: AddressWatch;
  /** The wait before a new deposit's first screening, as it is in force; `null` or left out: none is screened. */
  readonly firstScreeningMs?: number | null;
}

export interface Ingested {
  /** Deposits that are new, or included again. */
  readonly deposits: readonly Deposit[];
  readonly deliveryCount: number;
  /** The blocks whose commit will make some of these deposits due, lowest first. */
  readonly targetBlocks: readonly bigint[];
  /** Whether settling would find something now. */
  readonly isAnythingDue: boolean;
}

/**
 * @param from where the cursor must stand: at the parent of the first block
 * @param blocks consecutive, each the child of the one before, already checked against each other
 * @throws {TemporaryError} `cursor_moved` when the cursor, the lease or the chain's state is not as expected;
 * `node_answer_invalid` when a block is not the child of the one before it
 */
export async function ingestBlocks(
  context: IngestContext,
  from: CursorClaim,
  blocks: readonly BlockTransfers[],
): Promise<Ingested> {
  const last = blocks.at(-1);
  if (last === undefined) return { deposits: [], deliveryCount: 0, targetBlocks: [], isAnythingDue: false };
  const { database, chainId, watch } = context;
  assertConsecutive(from, blocks);
  const matchedUpTo = watch.lastNumber;
  const matched = matchBlocks(blocks, watch.table);

  return database.transaction(async (tx) => {
    await moveCursor(tx, from, last.block);
    await insertBlockRefs(tx, chainId, keptRefs(context, blocks));
    await deleteBlockRefsUpTo(tx, chainId, last.block.number - BigInt(context.reorgWindow));

    await closeRegistrationGate(tx);
    await loadNewAddresses(tx, watch);
    const found = watch.lastNumber === matchedUpTo ? matched : matchBlocks(blocks, watch.table);

    const seen = found.map((each) => judgeTransfer(each, context, thresholdRules));
    return recordSeen(tx, context, seen);
  });
}

/** Writes what blocks showed, with its events. The chain's cursor stays where it is until the transaction ends. */
export async function recordSeen(
  tx: Sql,
  { chainId, firstScreeningMs = null }: Pick<IngestContext, "chainId" | "firstScreeningMs">,
  seen: readonly SeenDeposit[],
): Promise<Ingested> {
  const held = await holdCursor(tx, chainId);
  if (held === null) throw new Error(`Chain ${chainId} lost its cursor inside an ingest`);
  const deposits = await insertSeenDeposits(tx, chainId, seen);
  if (firstScreeningMs !== null) await insertScreenings(tx, screeningKeys(deposits), firstScreeningMs);
  const events = deposits.map((deposit) => depositEvent(deposit, held.cursorNumber, held.at));
  const deliveryCount = await appendEvents(tx, events);
  const isAnythingDue = await isAnyDepositDue(tx, chainId, held.reached);
  return {
    deposits,
    deliveryCount,
    targetBlocks: targetBlocks(deposits, seen, held.cursorNumber),
    isAnythingDue,
  };
}

function screeningKeys(deposits: readonly Deposit[]): ScreeningKey[] {
  // What is still to be measured is asked about later, when it is known how much it is.
  const pending = deposits.filter((deposit) => deposit.status === "pending" && !isUnmeasured(deposit));
  return pending.map(({ id: depositId, generation }) => ({ depositId, generation }));
}

/** The last guard before the cursor: whatever the stages before it did, it never jumps and never changes branch. */
function assertConsecutive(from: CursorClaim, blocks: readonly BlockTransfers[]): void {
  let parent: { number: bigint; hash: Hash } = from;
  for (const { block } of blocks) {
    if (block.number !== parent.number + 1n || block.parentHash !== parent.hash) {
      throw new TemporaryError("node_answer_invalid", "A block is not the child of the one before it", {
        chainId: from.chainId,
        blockNumber: block.number,
        parentHash: block.parentHash,
        expectedParentHash: parent.hash,
      });
    }
    parent = block;
  }
}

export function matchBlocks(blocks: readonly BlockTransfers[], table: AddressTable): MatchedTransfer[] {
  return blocks.flatMap((block) => matchedIn(block, matchTransfers(block.transfers, table)));
}

/** Some transfers of a block, each with what its block is worth. */
export function matchedIn(
  { block, verification }: BlockTransfers,
  transfers: readonly Transfer[],
): MatchedTransfer[] {
  return transfers.map((transfer) => ({
    transfer,
    block,
    verification: verificationOf(transfer.source, verification),
  }));
}

/** Of many blocks only those within the window are worth a row. */
function keptRefs(context: IngestContext, blocks: readonly BlockTransfers[]): NewBlockRef[] {
  return blocks
    .slice(-context.reorgWindow)
    .map(({ block, verification }) => ({ ...block, verification: verification.level }));
}

/** Where the thresholds of these deposits' depths are met, as far as that lies ahead. */
function targetBlocks(
  deposits: readonly Deposit[],
  seen: readonly SeenDeposit[],
  cursorNumber: bigint,
): bigint[] {
  const inserted = new Set(
    deposits.filter((deposit) => deposit.status === "pending").map((deposit) => deposit.id),
  );
  const targets = new Set<bigint>();
  for (const each of seen) {
    if (!inserted.has(each.id)) continue;
    for (const threshold of [each.credit, each.unlock]) {
      const block = threshold?.dueBlock ?? null;
      if (block !== null && block > cursorNumber) targets.add(block);
    }
  }
  return [...targets].sort((a, b) => (a < b ? -1 : 1));
}
