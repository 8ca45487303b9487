/** Which blocks to scan next for the rescans of one chain, and which of them ride along. Pure. */
import type { Address } from "../core/hex.ts";
import type { AddressSpans } from "./rescan.ts";

/** Between two looks at what is new: addresses that were registered meanwhile ride along from the next stretch on. */
const BLOCKS_PER_STRETCH = 1_000n;

export interface OpenRescan {
  readonly address: Address;
  readonly next: bigint;
  readonly to: bigint;
  readonly progressedAt: Date;
}

export interface Stretch {
  readonly from: bigint;
  readonly to: bigint;
  readonly only: AddressSpans;
}

/** From the next block of the one that waits longest; `null` when none has a block below the cursor. */
export function chooseStretch(rescans: readonly OpenRescan[], cursor: bigint): Stretch | null {
  const within = rescans.filter(({ next }) => next <= cursor);
  const [lead] = within.toSorted((a, b) => +a.progressedAt - +b.progressedAt);
  if (lead === undefined) return null;
  const from = lead.next;
  const furthest = [cursor, from + BLOCKS_PER_STRETCH - 1n].reduce(lower);
  const riding = within.filter(({ next }) => from <= next && next <= furthest);
  // No further than any of them needs.
  const to = lower(furthest, riding.map((each) => each.to).reduce(higher));
  return { from, to, only: new Map(riding.map((each) => [each.address, { from: each.next, to: each.to }])) };
}

function lower(a: bigint, b: bigint): bigint {
  return a < b ? a : b;
}

function higher(a: bigint, b: bigint): bigint {
  return a > b ? a : b;
}
