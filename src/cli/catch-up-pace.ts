/** How far a chain that catches up is, from what its row in the database says. */
import type { ChainState } from "../scanner/chain-store.ts";

export interface CatchUpPace {
  /** Of the blocks from where it began to the head, rounded down. */
  readonly percent: number;
  /** On average since it began; `null` before the first commit. */
  readonly blocksPerSecond: number | null;
  /** At this pace; the head's own moving on is left out. */
  readonly secondsLeft: number | null;
}

/** @returns `null` while the chain is at its head, or has never been behind */
export function catchUpPace(
  chain: Pick<ChainState, "behindFrom" | "behindSince" | "cursorNumber" | "cursorAt" | "headNumber">,
): CatchUpPace | null {
  const { behindFrom, behindSince, cursorNumber, cursorAt, headNumber } = chain;
  if (behindFrom === null || behindSince === null || cursorNumber === null || headNumber === null)
    return null;
  const left = Number(headNumber - cursorNumber);
  const done = Number(cursorNumber - behindFrom);
  if (left <= 0 || done < 0) return null;
  const seconds = cursorAt === null ? 0 : (cursorAt.getTime() - behindSince.getTime()) / 1000;
  const perSecond = done > 0 && seconds > 0 ? done / seconds : null;
  return {
    percent: Math.floor((100 * done) / (done + left)),
    blocksPerSecond: perSecond === null ? null : Number(perSecond.toPrecision(3)),
    secondsLeft: perSecond === null ? null : Math.ceil(left / perSecond),
  };
}

/** `42 %, 812 blocks/s, 3 min left` */
export function paceText({ percent, blocksPerSecond, secondsLeft }: CatchUpPace): string {
  const pace = blocksPerSecond === null ? [] : [`${blocksPerSecond} blocks/s`];
  const left = secondsLeft === null ? [] : [`${durationText(secondsLeft)} left`];
  return [`${percent} %`, ...pace, ...left].join(", ");
}

function durationText(seconds: number): string {
  if (seconds < 120) return `${seconds} s`;
  return seconds < 7_200 ? `${Math.ceil(seconds / 60)} min` : `${Math.ceil(seconds / 3_600)} h`;
}
