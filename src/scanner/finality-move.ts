/** What became of `safe` or `finalized` since the last look. Pure. */

/**
 * - `same`   it stands where it stood, or is as unknown as it was.
 * - `on`     it went on, or is known now.
 * - `back`   it is lower than it was. What waits for it waits longer; what was credited or unlocked stays so.
 * - `gone`   it was known, and is not any more, or is on another branch than ours.
 */
export type FinalityMove = "same" | "on" | "back" | "gone";

export function finalityMove(before: bigint | null, after: bigint | null): FinalityMove {
  if (before === after) return "same";
  if (before === null) return "on";
  if (after === null) return "gone";
  return after > before ? "on" : "back";
}
