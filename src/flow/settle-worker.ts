/**
 * Runs the `settle` jobs, and the sweep that makes a lost one harmless. The job only says "look at this chain
 * now"; what is due is found by query. After each, orders whose deadline has passed end: no job speaks of those.
 */
import { z } from "zod";
import type { Database } from "../db/database.ts";
import type { HoldRules } from "../review/hold-rules.ts";
import type { Clock } from "../runtime/clock.ts";
import type { Logger } from "../runtime/logger.ts";
import type { Queue, QueueWorker } from "../runtime/queue/queue.ts";
import { findChainState, listChainStates } from "../scanner/chain-store.ts";
import { expireOrders } from "./expire-orders.ts";
import { type Settled, settleDeposits } from "./settle-deposits.ts";
import type { Wakers } from "./wake-workers.ts";

export interface SettlerParts {
  readonly database: Database;
  readonly queue: Queue;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly wakers: Wakers;
  readonly sweepIntervalMs: number;
  /** For a job that came before its block: when to look again. */
  readonly retryMs: number;
  /** What holds deposits before their credit, as it is in force now. */
  readonly holdRules: () => HoldRules | null;
  readonly onSettled?: (chainId: number, settled: Settled, from: "job" | "sweep", durationMs: number) => void;
}

/** Two at once: a long settle of one chain does not hold up another's. */
const CONCURRENCY = 2;

const jobData = z.object({ chainId: z.int().positive(), block: z.int().nonnegative() });

export function workSettleQueue(parts: SettlerParts): QueueWorker {
  return parts.queue.work("settle", {
    concurrency: CONCURRENCY,
    handle: async (job, signal) => {
      const parsed = jobData.safeParse(job.data);
      if (!parsed.success) {
        parts.logger.warn("Dropped a job that cannot be read", { queue: "settle", job_id: job.id });
        return undefined;
      }
      const { chainId, block } = parsed.data;
      const state = await findChainState(parts.database, chainId);
      if (state?.cursorNumber === null || state?.state !== "following") return undefined;
      if (state.cursorNumber < BigInt(block)) return { againInMs: parts.retryMs };
      await settleChain(parts, chainId, "job", signal);
      return undefined;
    },
  });
}

/** Settles every chain again and again, whether or not a job spoke of it. */
export async function sweepDeposits(parts: SettlerParts, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    for (const chain of await listChainStates(parts.database)) {
      if (!signal.aborted) await settleChain(parts, chain.chainId, "sweep", signal);
    }
    await parts.clock.sleep(parts.sweepIntervalMs, signal);
  }
}

async function settleChain(
  parts: SettlerParts,
  chainId: number,
  from: "job" | "sweep",
  signal: AbortSignal,
): Promise<void> {
  const startedAt = parts.clock.monotonic();
  const settled = await settleDeposits(parts.database, chainId, signal, parts.holdRules());
  const durationMs = Math.round(parts.clock.monotonic() - startedAt);
  noteSettled(parts, chainId, from, settled, durationMs);
  if (settled.deliveryCount > 0) await parts.wakers.deliver();
  const expired = await expireOrders(parts.database, chainId, signal);
  if (expired.count > 0) parts.logger.info("Expired orders", { chain_id: chainId, count: expired.count });
  if (expired.deliveryCount > 0) await parts.wakers.deliver();
}

function noteSettled(
  parts: SettlerParts,
  chainId: number,
  from: "job" | "sweep",
  settled: Settled,
  durationMs: number,
): void {
  if (settled.credited + settled.unlocked + settled.held === 0) return;
  parts.onSettled?.(chainId, settled, from, durationMs);
  parts.logger.info("Settled deposits", {
    chain_id: chainId,
    credited_count: settled.credited,
    unlocked_count: settled.unlocked,
    held_count: settled.held,
    rejected_count: settled.rejected,
    delivery_count: settled.deliveryCount,
    woken_by: from,
    duration_ms: durationMs,
  });
}
