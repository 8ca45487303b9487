/** Assets and the confirmation policies that hold for them. Pure data; the config is its only source. */
import type { FinalityTag } from "./chain.ts";
import type { Address } from "./hex.ts";

/** When a threshold is met: at a depth (a block at the cursor has depth 1), at a tag, or when both are met. */
export type Threshold =
  | { readonly depth: number; readonly tag: null }
  | { readonly depth: null; readonly tag: FinalityTag }
  | { readonly depth: number; readonly tag: FinalityTag };

/** One band of a confirmation policy: it holds for amounts up to and including `upToBaseUnits`. */
export interface PolicyBand {
  /** `null`: no upper limit. */
  readonly upToBaseUnits: bigint | null;
  readonly credit: Threshold;
  readonly unlock: Threshold;
}

/**
 * What counts of a token transfer: the amount that its event tells, or what the recipient's balance grew by in that
 * block (never more than the event tells), for tokens that take a fee on the way.
 */
export const AMOUNT_SOURCES = ["event", "balance"] as const;
export type AmountSource = (typeof AMOUNT_SOURCES)[number];

/** The native coin or one token contract on one chain, as configured. */
export interface Asset {
  readonly chainId: number;
  /** `null` for the native coin. */
  readonly token: Address | null;
  readonly currency: string;
  readonly decimals: number;
  /** Smaller deposits are kept as `ignored: below_minimum`. */
  readonly minimumBaseUnits: bigint;
  /** Of the native coin always `event`. */
  readonly amountFrom: AmountSource;
  /** In rising order of `upToBaseUnits`; the last has none. The first that fits wins. */
  readonly policy: readonly PolicyBand[];
}

/** An asset with its row's id; accounts and deposits refer to it. */
export interface KnownAsset extends Asset {
  readonly id: number;
}
