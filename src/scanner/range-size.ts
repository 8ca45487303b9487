/**
 * How many blocks to ask for at once: more while it works, fewer when a node refuses.
 *
 * Limits are of two kinds: a fixed number of blocks, and a number of results that depends on what is in them. So
 * growth halves the way towards a size that was refused, and forgets about it after a while.
 *
 *     2,000 → 4,000 → 8,000 → 16,000 refused → 8,000 → 12,000 refused → 8,000 → 10,000 → 10,500 → …
 */

export interface RangeSize {
  /** Blocks to ask for now. */
  current(): number;
  /** They were given. */
  grow(): void;
  /** They were refused. */
  shrink(): void;
}

const FIRST = 2_000;
const LARGEST = 100_000;
const FORGET_AFTER = 200;

export function createRangeSize(first = FIRST): RangeSize {
  let size = first;
  let refused: number | undefined;
  let givenSince = 0;
  return {
    current: () => size,
    grow: () => {
      givenSince += 1;
      if (givenSince >= FORGET_AFTER) refused = undefined;
      if (refused === undefined) size = Math.min(LARGEST, size * 2);
      // Closer than a tenth of it is close enough: each further try would be one request for nothing.
      else if (refused - size > refused / 10) size += Math.floor((refused - size) / 2);
    },
    shrink: () => {
      refused = size;
      givenSince = 0;
      size = Math.max(1, Math.floor(size / 2));
    },
  };
}
