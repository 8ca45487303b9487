/** What a deposit waits for, as people read it. Pure. */
import type { Threshold } from "../core/asset.ts";
import type { FinalityTag } from "../core/chain.ts";
import { type Deposit, isUnmeasured } from "../core/deposit.ts";
import { isDepthMet, isMet, isTagMet, parseThreshold, type ReachedBlocks } from "./threshold.ts";

export interface WaitingDeposit
  extends Pick<
    Deposit,
    | "status"
    | "blockNumber"
    | "creditAt"
    | "unlockAt"
    | "eventAmountBaseUnits"
    | "balanceNodes"
    | "measureProblem"
  > {
  /** Since when the screening service owes its answer; left out or `null`: it does not. */
  readonly screeningSince?: Date | null;
}

/** Where a chain stands, and since when. */
export interface ChainStanding extends ReachedBlocks {
  /** Why it was halted; `null` while it is followed. */
  readonly haltedReason: string | null;
  /** When the tag moved last; `null`: never seen. */
  readonly safeAt: Date | null;
  readonly finalizedAt: Date | null;
  /** How many nodes must hold what is settled, and up to which block they do. */
  readonly witnesses: number;
  readonly witnessedNumber: bigint | null;
  /** By the same clock as the two. */
  readonly now: Date;
}

/** Ethereum's finality moves every 6.4 minutes when all is well; a tag that moved within this is no news. */
const STILL_MINUTES = 10;

/**
 * Such as `"3 of 12"`, `"waiting for finalized, which has stood still for 14 minutes"` or `"3 of 12 and waiting for
 * safe"`.
 *
 * @returns `null` when it waits for nothing
 */
export function waitsFor(deposit: WaitingDeposit, chain: ChainStanding): string | null {
  if (deposit.status === "held") return "waiting for a review";
  const text = { pending: deposit.creditAt, credited: deposit.unlockAt }[deposit.status as string];
  if (text === undefined || text === null) return null;
  if (chain.haltedReason !== null)
    return `waiting for an operator, as the chain is halted: ${chain.haltedReason}`;
  const threshold = parseThreshold(text);
  const parts = [
    measureText(deposit),
    depthText(threshold, deposit, chain),
    tagText(threshold, deposit, chain),
    witnessText(threshold, deposit, chain),
  ];
  const told = parts.filter((part) => part !== null);
  if (told.length > 0) return told.join(" and ");
  const { screeningSince = null } = deposit;
  if (deposit.status === "pending" && screeningSince !== null)
    return `waiting for screening since ${screeningSince.toISOString()}`;
  // Met, and about to be settled.
  return "being settled";
}

function measureText(deposit: WaitingDeposit): string | null {
  if (!isUnmeasured(deposit)) return null;
  const { measureProblem } = deposit;
  return `waiting for its address's balance to be measured${measureProblem === null ? "" : ` (${measureProblem})`}`;
}

function depthText(
  threshold: Threshold,
  { blockNumber }: WaitingDeposit,
  chain: ChainStanding,
): string | null {
  if (threshold.depth === null || isDepthMet(threshold, blockNumber, chain)) return null;
  const depth = chain.cursorNumber - blockNumber + 1n;
  return `${depth < 0n ? 0n : depth} of ${threshold.depth}`;
}

function tagText(threshold: Threshold, { blockNumber }: WaitingDeposit, chain: ChainStanding): string | null {
  const { tag } = threshold;
  if (tag === null || isTagMet(threshold, blockNumber, chain)) return null;
  return `waiting for ${tag}${standstill(tag, chain)}`;
}

/** Only once all else is met: until then the nodes have time. */
function witnessText(
  threshold: Threshold,
  { blockNumber }: WaitingDeposit,
  chain: ChainStanding,
): string | null {
  const { witnesses, witnessedNumber } = chain;
  if (witnesses === 1 || !isMet(threshold, blockNumber, chain)) return null;
  const limit = witnessedNumber ?? -1n;
  if (isMet(threshold, blockNumber, limitedTo(limit, chain))) return null;
  const held = witnessedNumber === null ? "" : `, which they do up to block ${witnessedNumber}`;
  return `waiting for ${witnesses} nodes to hold its branch${held}`;
}

function limitedTo(limit: bigint, chain: ReachedBlocks): ReachedBlocks {
  const atMost = (number: bigint) => (number < limit ? number : limit);
  const { cursorNumber, safeNumber, finalizedNumber } = chain;
  return {
    cursorNumber: atMost(cursorNumber),
    safeNumber: safeNumber === null ? null : atMost(safeNumber),
    finalizedNumber: finalizedNumber === null ? null : atMost(finalizedNumber),
  };
}

function standstill(tag: FinalityTag, chain: ChainStanding): string {
  const [number, at] =
    tag === "safe" ? [chain.safeNumber, chain.safeAt] : [chain.finalizedNumber, chain.finalizedAt];
  if (number === null) return ", which the nodes do not tell";
  if (at === null) return "";
  const minutes = Math.floor((chain.now.getTime() - at.getTime()) / 60_000);
  return minutes < STILL_MINUTES ? "" : `, which has stood still for ${minutes} minutes`;
}
