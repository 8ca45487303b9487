/**
 * Whether the past may be read by ranges of logs, and the filter for it.
 *
 * It may be where every deposit shows in a log of a listed token: the native coin is not listed. Further, few enough
 * addresses must be watched for a filter to name them all, and the blocks must be final. What is given up is proof
 * of completeness: a whole block proves that none of its logs is missing, a range of logs proves nothing about what
 * is not in it. So `auto` asks for two nodes, which both have to leave out the same log for it to be missed.
 */
import { lowerOf } from "../core/block-number.ts";
import type { Address } from "../core/hex.ts";
import type { Sql } from "../db/database.ts";
import { listAddresses } from "../merchants/address-store.ts";
import type { ChainNodes } from "../rpc/chain-nodes.ts";
import type { ChainConfig } from "../runtime/config/config.ts";
import type { LogFilter } from "../scanner/logged-range.ts";
import type { AddressWatch } from "./watch-addresses.ts";

/** What of the config decides about it. */
export type BackfillConfig = Pick<ChainConfig, "backfill" | "assets" | "nodes" | "reorgWindow">;

/** One question for each range. */
const MAX_ADDRESSES_AUTO = 1_000;
/** Ten questions for each range: still fewer than two for each block. */
const MAX_ADDRESSES_LOGS = 10_000;

export const LOG_WITNESSES = { auto: 2, logs: 1 } as const;

export interface WatchFilter extends LogFilter {
  /** It holds every address registered up to this number. */
  readonly addressesUpTo: bigint;
}

/** How many nodes must tell the logs of a range; `undefined` where whole blocks are to be read. */
export function logWitnesses(chain: BackfillConfig): number | undefined {
  if (chain.backfill === "blocks" || tokensOf(chain).length === 0) return undefined;
  if (chain.assets.some((asset) => asset.token === null)) return undefined;
  return chain.backfill === "auto" && chain.nodes.length < 2 ? undefined : LOG_WITNESSES[chain.backfill];
}

export function tokensOf(chain: Pick<ChainConfig, "assets">): Address[] {
  return chain.assets.flatMap(({ token }) => (token === null ? [] : [token]));
}

/** `undefined` when more addresses are watched than a filter should name. */
export async function loadWatchFilter(
  sql: Sql,
  chain: BackfillConfig,
  watch: AddressWatch,
): Promise<WatchFilter | undefined> {
  const addressesUpTo = watch.lastNumber;
  const most = chain.backfill === "auto" ? MAX_ADDRESSES_AUTO : MAX_ADDRESSES_LOGS;
  const page = await listAddresses(sql, { after: 0n, upTo: addressesUpTo, limit: most + 1 });
  if (page.addresses.length > most) return undefined;
  return { tokens: tokensOf(chain), recipients: page.addresses, addressesUpTo };
}

/** How far the past reaches: up to which block it may be read in which way. */
export interface PastEnds {
  /** No reorg that is undone reaches this block: whole blocks may be committed many at once. */
  readonly lastFinal: bigint;
  /**
   * The last block for ranges of logs: final, and below the window of kept block refs, so that whole blocks fill the
   * window before the head is reached. `null` where the chain knows no final block.
   */
  readonly lastLogged: bigint | null;
}

export async function pastEnds(
  nodes: Pick<ChainNodes, "tag">,
  chain: Pick<ChainConfig, "reorgWindow">,
  headNumber: bigint,
  signal?: AbortSignal,
): Promise<PastEnds> {
  const finalized = await nodes.tag("finalized", signal);
  const belowWindow = headNumber - BigInt(chain.reorgWindow);
  if (finalized === null) return { lastFinal: belowWindow, lastLogged: null };
  return { lastFinal: finalized.number, lastLogged: lowerOf(finalized.number, belowWindow) };
}
