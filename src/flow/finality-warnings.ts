/** What deposits wait for in vain, though their chain is followed: for `/readyz` and `status`. */
import { tagsWaitedFor } from "../confirmations/threshold.ts";
import type { ChainConfig } from "../runtime/config/config.ts";
import type { ChainState } from "../scanner/chain-store.ts";

/** Ethereum finalizes every 6.4 minutes, which is 32 blocks; most chains far more often. */
const STILL = { blocks: 100, leastMs: 15 * 60_000 };

export type FinalityState = Pick<
  ChainState,
  "cursorNumber" | "safeNumber" | "finalizedNumber" | "safeAt" | "finalizedAt"
>;

/**
 * @param now in milliseconds since 1970
 * @returns a sentence for each tag that some policy waits for, and that is not known or stands still
 */
export function finalityWarnings(
  chain: Pick<ChainConfig, "assets" | "blockTimeMs">,
  state: FinalityState,
  now: number,
): string[] {
  if (state.cursorNumber === null) return [];
  const longestMs = Math.max(STILL.leastMs, STILL.blocks * chain.blockTimeMs);
  return tagsWaitedFor(chain.assets).flatMap((tag) => {
    const number = tag === "safe" ? state.safeNumber : state.finalizedNumber;
    const since = tag === "safe" ? state.safeAt : state.finalizedAt;
    if (number === null)
      return [`The nodes know no "${tag}" block of the branch that is followed: what waits for it waits on`];
    if (since === null || now - since.getTime() < longestMs) return [];
    return [`"${tag}" stands at block ${number} since ${since.toISOString()}: what waits for it waits on`];
  });
}
