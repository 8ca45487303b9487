/**
 * [tx per block] Measures deposits of tokens whose balance counts (`amountFrom: balance`): the background of a follower.
 *
 *   claim what is to be measured → its block again, by hash, checked and proved → for each address the balance before
 *   and after, each told by as many nodes as the chain has witnesses → shares → amount, thresholds, event
 *
 * A deposit is there as soon as its block is, as any other; it only is due to no settler before its amount is known.
 * So nothing that nodes cannot say (the state of an old block is pruned, they disagree) holds up the chain, and none of
 * it makes the event's amount count: the deposit waits, and says what for.
 */
import { bandFor, dueBlock, parseThreshold, thresholdText } from "../confirmations/threshold.ts";
import type { KnownAsset, Threshold } from "../core/asset.ts";
import type { BlockHeader, Transfer } from "../core/chain.ts";
import type { Deposit, IgnoreReason } from "../core/deposit.ts";
import { depositId } from "../core/deposit-id.ts";
import { DepositdError } from "../core/errors.ts";
import type { Address, Hash } from "../core/hex.ts";
import { isAnyDepositDue } from "../deposits/deposit-store.ts";
import type { StoredThreshold } from "../deposits/judge-transfer.ts";
import {
  claimUnmeasured,
  isAnyUnmeasured,
  type Measured,
  postponeMeasuring,
  recordMeasured,
} from "../deposits/measure-store.ts";
import { shareArrived } from "../deposits/share-arrived.ts";
import { extractTransfers } from "../matcher/extract-transfers.ts";
import { depositEvent } from "../outbox/deposit-event.ts";
import { appendEvents } from "../outbox/event-store.ts";
import type { ChainNodes } from "../rpc/chain-nodes.ts";
import type { Wakeup } from "../runtime/wakeup.ts";
import { holdCursor, readReached } from "../scanner/cursor-store.ts";
import type { FollowerParts } from "./follower-parts.ts";

export interface MeasuringParts extends Pick<FollowerParts, "database" | "ingest" | "logger"> {
  readonly chain: Pick<FollowerParts["chain"], "id" | "witnesses" | "blockTimeMs" | "pollIntervalMs">;
  readonly wakers: Pick<FollowerParts["wakers"], "settleNow" | "settleAt" | "deliver">;
  readonly nodes: Pick<ChainNodes, "balance"> & {
    readonly backfill: Pick<ChainNodes["backfill"], "blockByHash">;
  };
}

const DEPOSITS_PER_ROUND = 500;
/** Addresses of one block whose balances are asked for at once. */
const ADDRESSES_AT_ONCE = 8;
/** Where no token's balance counts, and nothing is left from a time when one did. */
const IDLE_MS = 60_000;

/**
 * Runs until the signal aborts.
 *
 * @param wakeup woken when a deposit was seen that is to be measured
 */
export async function measureDeposits(
  parts: MeasuringParts,
  wakeup: Wakeup,
  signal: AbortSignal,
): Promise<void> {
  try {
    while (!signal.aborted) {
      const hasMore = await measureDue(parts, signal);
      if (hasMore) continue;
      await wakeup.sleep((await isAnythingToCome(parts)) ? parts.chain.pollIntervalMs : IDLE_MS, signal);
    }
  } catch (rawError) {
    if (!signal.aborted) throw rawError;
  }
}

async function isAnythingToCome({ database, chain, ingest }: MeasuringParts): Promise<boolean> {
  const isAsked = [...ingest.assets.values()].some(({ amountFrom }) => amountFrom === "balance");
  return isAsked || (await isAnyUnmeasured(database, chain.id));
}

/** @returns whether there may be more to do at once */
export async function measureDue(parts: MeasuringParts, signal: AbortSignal): Promise<boolean> {
  const { database, chain } = parts;
  // Of a halted chain, nothing moves.
  if ((await readReached(database, chain.id)) === null) return false;
  const claimed = await claimUnmeasured(database, chain.id, DEPOSITS_PER_ROUND);
  for (const [hash, deposits] of groupBy(claimed, ({ blockHash }) => blockHash)) {
    await measureBlock(parts, hash, deposits, signal);
  }
  return claimed.length === DEPOSITS_PER_ROUND;
}

async function measureBlock(
  parts: MeasuringParts,
  hash: Hash,
  deposits: readonly Deposit[],
  signal: AbortSignal,
): Promise<void> {
  const { ingest, nodes } = parts;
  const isByBalance = ({ token }: Deposit) => ingest.assets.get(token)?.amountFrom !== "event";
  const [toAsk, byEvent] = [deposits.filter(isByBalance), deposits.filter((each) => !isByBalance(each))];
  const measured: Measured[] = byEvent.map((deposit) =>
    judged(parts, deposit, deposit.amountBaseUnits, null),
  );
  const unmeasured: Unmeasured[] = [];
  try {
    if (toAsk.length > 0) {
      const block = await nodes.backfill.blockByHash(hash, signal);
      const { transfers } = extractTransfers(block, ingest.nativeSource);
      const found = await measureAddresses(parts, block.header, transfers, toAsk, signal);
      measured.push(...found.measured);
      unmeasured.push(...found.unmeasured);
    }
  } catch (rawError) {
    if (signal.aborted || !(rawError instanceof DepositdError)) throw rawError;
    unmeasured.push({ deposits: toAsk, problem: rawError.message });
  }
  for (const { deposits: waiting, problem } of unmeasured) await postpone(parts, waiting, problem);
  await record(parts, measured);
}

interface Unmeasured {
  readonly deposits: readonly Deposit[];
  readonly problem: string;
}

interface Found {
  readonly measured: Measured[];
  readonly unmeasured: Unmeasured[];
}

async function measureAddresses(
  parts: MeasuringParts,
  block: BlockHeader,
  transfers: readonly Transfer[],
  deposits: readonly Deposit[],
  signal: AbortSignal,
): Promise<Found> {
  const found: Found = { measured: [], unmeasured: [] };
  const groups = [...groupBy(deposits, ({ token, to }) => `${token} ${to}`).values()].values();
  const work = async () => {
    for (const group of groups) {
      signal.throwIfAborted();
      await measureAddress(parts, block, transfers, group, found, signal);
    }
  };
  await Promise.all(Array.from({ length: ADDRESSES_AT_ONCE }, work));
  return found;
}

/** All deposits of one token to one address, in one block. */
async function measureAddress(
  parts: MeasuringParts,
  block: BlockHeader,
  transfers: readonly Transfer[],
  deposits: readonly Deposit[],
  found: Found,
  signal: AbortSignal,
): Promise<void> {
  const [first] = deposits;
  if (first === undefined || first.token === null) return;
  const { token, to: holder } = first;
  const { witnesses } = parts.chain;
  const ask = (at: { number: bigint; hash: Hash }) =>
    parts.nodes.balance({ token, holder, block: at }, witnesses, signal);
  const [before, after] = await Promise.all([
    ask({ number: block.number - 1n, hash: block.parentHash }),
    ask(block),
  ]);
  if (before.kind === "untold" || after.kind === "untold") {
    const problem = before.kind === "untold" ? before.reason : after.kind === "untold" ? after.reason : "";
    found.unmeasured.push({ deposits, problem });
    return;
  }
  const balances = { token, holder, before: before.amountBaseUnits, after: after.amountBaseUnits };
  const shares = shareById(parts, transfers, balances);
  const nodes = Math.min(before.nodes, after.nodes);
  for (const deposit of deposits) {
    // What has no share went from the address to itself: its block is its own, and proved as when it was seen.
    found.measured.push(judged(parts, deposit, shares.get(deposit.id) ?? 0n, nodes));
  }
}

function shareById(
  { chain }: MeasuringParts,
  transfers: readonly Transfer[],
  balances: { token: Address; holder: Address; before: bigint; after: bigint },
): Map<string, bigint> {
  const shares = shareArrived(transfers, balances);
  return new Map(
    [...shares].map(([{ txHash, source }, share]) => [depositId(chain.id, txHash, source), share]),
  );
}

/** As when a transfer is seen, by the amount that has arrived. */
function judged(
  { ingest }: MeasuringParts,
  deposit: Deposit,
  amountBaseUnits: bigint,
  nodes: number | null,
): Measured {
  const asset = ingest.assets.get(deposit.token);
  const ignored = ignoreReason(asset, amountBaseUnits);
  const measured = { deposit, amountBaseUnits, nodes, ignored };
  if (ignored !== null) return { ...measured, credit: null, unlock: null };
  const stored = (threshold: Threshold): StoredThreshold => ({
    text: thresholdText(threshold),
    dueBlock: dueBlock(threshold, deposit.blockNumber),
    tag: threshold.tag,
  });
  const { credit, unlock } = policyOf(asset, deposit, amountBaseUnits);
  return { ...measured, credit: stored(credit), unlock: stored(unlock) };
}

function ignoreReason(asset: KnownAsset | undefined, amountBaseUnits: bigint): IgnoreReason | null {
  if (amountBaseUnits === 0n) return "nothing_arrived";
  return asset !== undefined && amountBaseUnits < asset.minimumBaseUnits ? "below_minimum" : null;
}

/** A token that is no longer listed keeps the policy that its deposits were seen under. */
function policyOf(
  asset: KnownAsset | undefined,
  { creditAt, unlockAt }: Deposit,
  amountBaseUnits: bigint,
): { readonly credit: Threshold; readonly unlock: Threshold } {
  if (asset !== undefined) return bandFor(asset, amountBaseUnits);
  return { credit: parseThreshold(creditAt ?? ""), unlock: parseThreshold(unlockAt ?? "") };
}

async function record(parts: MeasuringParts, measured: readonly Measured[]): Promise<void> {
  if (measured.length === 0) return;
  const { database, chain, wakers } = parts;
  const recorded = await database.transaction(async (tx) => {
    const held = await holdCursor(tx, chain.id);
    // Halted meanwhile: the claim runs out, and it is measured again when the chain is followed again.
    if (held === null) return null;
    const news = await recordMeasured(tx, measured);
    const events = news.map((deposit) => depositEvent(deposit, held.cursorNumber, held.at));
    const deliveryCount = await appendEvents(tx, events);
    const isAnythingDue = await isAnyDepositDue(tx, chain.id, held.reached);
    return { deliveryCount, isAnythingDue, cursorNumber: held.cursorNumber };
  });
  if (recorded === null) return;
  const { cursorNumber } = recorded;
  if (recorded.isAnythingDue) await wakers.settleNow(chain.id, cursorNumber);
  if (recorded.deliveryCount > 0) await wakers.deliver();
  await wakers.settleAt(chain.id, blocksAhead(measured, cursorNumber), cursorNumber, chain.blockTimeMs);
}

/** Where the thresholds of these deposits' depths will be met. */
function blocksAhead(measured: readonly Measured[], cursorNumber: bigint): bigint[] {
  const blocks = measured.flatMap(({ credit, unlock }) => [credit?.dueBlock ?? 0n, unlock?.dueBlock ?? 0n]);
  return [...new Set(blocks)].filter((block) => block > cursorNumber).sort((a, b) => (a < b ? -1 : 1));
}

/** One line when it fails first; the deposit itself says it as long as it waits. */
async function postpone(parts: MeasuringParts, deposits: readonly Deposit[], problem: string): Promise<void> {
  await postponeMeasuring(parts.database, deposits, problem);
  const [first] = deposits.filter(({ measureProblem }) => measureProblem === null);
  if (first === undefined) return;
  parts.logger.warn("Could not measure what has arrived at an address: its deposit waits", {
    chain_id: parts.chain.id,
    block_number: first.blockNumber,
    deposit_id: first.id,
    deposit_count: deposits.length,
    reason: problem,
  });
}

function groupBy<Item, Key>(items: readonly Item[], keyOf: (item: Item) => Key): Map<Key, Item[]> {
  const groups = new Map<Key, Item[]>();
  for (const item of items) {
    const key = keyOf(item);
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [item]);
    else group.push(item);
  }
  return groups;
}
