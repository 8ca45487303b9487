/** `watchFrom`: since when an address is to be watched, so that the past is looked at for it. */
import { InputError } from "./errors.ts";

/** A time for every chain, or a first block for some. */
export type WatchFrom = { readonly time: Date } | { readonly blocks: readonly FirstBlock[] };

export interface FirstBlock {
  readonly chainId: number;
  readonly block: number;
}

/** The first block of Ethereum, 2015-07-30T15:26:13Z: no EVM chain is older. */
const FIRST_CHAIN_BEGAN = Date.UTC(2015, 6, 30);
const TIME = /^\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)$/;
const CHAIN_ID = /^[1-9]\d{0,14}$/;

/**
 * @param given a time as RFC 3339 writes it, or block numbers by chain id
 * @throws {InputError} `invalid_watch_from`. Whether it lies in the future is for those to say who know the chains.
 */
export function parseWatchFrom(given: string | Readonly<Record<string, number>>): WatchFrom {
  return typeof given === "string" ? { time: parseTime(given) } : { blocks: parseBlocks(given) };
}

export function invalidWatchFrom(message: string): InputError {
  return new InputError("invalid_watch_from", message);
}

function parseTime(text: string): Date {
  const time = TIME.test(text) ? Date.parse(text) : Number.NaN;
  if (Number.isNaN(time))
    throw invalidWatchFrom("must be a time like 2026-01-31T12:00:00Z, or block numbers by chain id");
  if (time < FIRST_CHAIN_BEGAN) throw invalidWatchFrom("is before the first EVM chain began, in July 2015");
  return new Date(time);
}

function parseBlocks(given: Readonly<Record<string, number>>): FirstBlock[] {
  const blocks = Object.entries(given).map(([chainId, block]) => {
    if (!CHAIN_ID.test(chainId)) throw invalidWatchFrom(`${JSON.stringify(chainId)} is not a chain id`);
    if (!Number.isSafeInteger(block)) throw invalidWatchFrom(`has no block number for chain ${chainId}`);
    if (block < 0) throw invalidWatchFrom(`is before the first block of chain ${chainId}, which is 0`);
    return { chainId: Number(chainId), block };
  });
  if (blocks.length === 0) throw invalidWatchFrom("names no chain");
  return blocks;
}
