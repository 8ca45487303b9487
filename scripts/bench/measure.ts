/** Numbers of a benchmark: rounds in, median and spread out; each figure beside the floor of the same run. */

export interface Figure {
  /** Which of them it belongs to: `a` to `f`. */
  readonly group: string;
  readonly name: string;
  readonly unit: string;
  /** Median of the rounds. */
  readonly value: number;
  /** Lowest and highest round. */
  readonly spread: readonly [number, number];
  readonly rounds: number;
  readonly floor: {
    readonly name: string;
    readonly value: number;
    readonly spread: readonly [number, number];
  };
  /** For rates value/floor (higher is better), for times value/floor (lower is better). */
  readonly ratio: number;
  readonly target?: Target;
}

export interface Target {
  readonly text: string;
  readonly isMet: boolean;
}

/** What a group hands over: the rounds of what was measured, and of its floor. */
export interface Measured {
  readonly group: string;
  readonly name: string;
  readonly unit: string;
  readonly rounds: readonly number[];
  readonly floorName: string;
  readonly floorRounds: readonly number[];
  readonly target?: (value: number, ratio: number) => Target;
}

/** @throws {RangeError} when there are no rounds */
export function toFigure(measured: Measured): Figure {
  const value = median(measured.rounds);
  const floor = median(measured.floorRounds);
  const ratio = value / floor;
  return {
    group: measured.group,
    name: measured.name,
    unit: measured.unit,
    value: rounded(value),
    spread: spreadOf(measured.rounds),
    rounds: measured.rounds.length,
    floor: { name: measured.floorName, value: rounded(floor), spread: spreadOf(measured.floorRounds) },
    ratio: rounded(ratio),
    ...(measured.target === undefined ? {} : { target: measured.target(value, ratio) }),
  };
}

/** The value below which a share of them lies (nearest rank); 0.5 is the median. */
export function percentile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  const found = sorted[Math.max(0, Math.ceil(sorted.length * share) - 1)];
  if (found === undefined) throw new RangeError("There is nothing to take a percentile of");
  return found;
}

export function median(values: readonly number[]): number {
  return percentile(values, 0.5);
}

function spreadOf(values: readonly number[]): readonly [number, number] {
  return [rounded(Math.min(...values)), rounded(Math.max(...values))];
}

/** Four significant digits: the rest is noise. */
function rounded(value: number): number {
  return Number(value.toPrecision(4));
}

/** Milliseconds that the work took. */
export async function timed(work: () => Promise<unknown>): Promise<number> {
  const startedAt = performance.now();
  await work();
  return performance.now() - startedAt;
}
