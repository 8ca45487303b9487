/**
 * Holds a chain's lease and works under it. Of several daemons on one database one follows each chain; the others
 * wait, and one of them takes over when the lease is given back or runs out.
 */
import { coerceError, TemporaryError } from "../core/errors.ts";
import { acquireLease, releaseLease, renewLease } from "../db/lease-store.ts";
import type { FollowerParts } from "./follower-parts.ts";

type LeaseParts = Pick<
  FollowerParts,
  "database" | "chain" | "clock" | "logger" | "holder" | "leaseMs" | "onWell"
>;

/** What is done under a lease: every write carries the token, and the signal aborts when the lease is lost. */
type LeasedWork = (leaseToken: bigint, signal: AbortSignal) => Promise<void>;

/**
 * Waits for the lease as often as it takes, until the signal aborts. Losing it is no failure: who was frozen or cut off
 * for a while is from then on the one who waits, and must be there when the other falls silent in its turn.
 */
export async function whileLeased(parts: LeaseParts, work: LeasedWork, signal: AbortSignal): Promise<void> {
  const { database, chain, clock, holder, leaseMs } = parts;
  while (!signal.aborted) {
    const leaseToken = await acquireLease(database, chain.id, holder, leaseMs);
    if (leaseToken === null) {
      parts.onWell?.();
      await clock.sleep(leaseMs / 3, signal);
    } else await workUnderLease(parts, leaseToken, work, signal);
  }
}

/** A lease that cannot be renewed ends the work at once: somebody else may hold it by then. */
async function workUnderLease(
  parts: LeaseParts,
  leaseToken: bigint,
  work: LeasedWork,
  signal: AbortSignal,
): Promise<void> {
  const lost = new AbortController();
  const underLease = AbortSignal.any([signal, lost.signal]);
  const renewing = keepLease(parts, leaseToken, underLease).catch((rawError: unknown) => {
    lost.abort(coerceError(rawError));
  });
  const fields = { chain_id: parts.chain.id, lease_token: leaseToken };
  parts.logger.info("Took the lease", fields);
  const failure = await work(leaseToken, underLease).then(
    () => (lost.signal.aborted ? coerceError(lost.signal.reason) : undefined),
    coerceError,
  );
  lost.abort();
  await renewing;
  const wasOurs = await giveBack(parts, leaseToken);
  if (failure === undefined) return;
  // Whatever it failed at: where somebody else has the lease, it is theirs to do now.
  if (wasOurs || signal.aborted) throw failure;
  parts.logger.warn("Lost the lease", { ...fields, error: failure });
}

/** Answers whether it was ours to the end, as far as is known. */
async function giveBack({ database, chain, logger }: LeaseParts, leaseToken: bigint): Promise<boolean> {
  try {
    return await releaseLease(database, chain.id, leaseToken);
  } catch (rawError) {
    // It runs out by itself; the next holder waits a little longer.
    logger.warn("Failed to release a lease", { chain_id: chain.id, error: coerceError(rawError) });
    return true;
  }
}

async function keepLease(parts: LeaseParts, leaseToken: bigint, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    await parts.clock.sleep(parts.leaseMs / 3, signal);
    if (signal.aborted) return;
    if (!(await renewLease(parts.database, parts.chain.id, leaseToken, parts.leaseMs))) {
      throw new TemporaryError("lease_lost", "Another daemon follows this chain now", {
        chainId: parts.chain.id,
      });
    }
  }
}
