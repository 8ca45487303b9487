/**
 * Who is woken after a commit. All of it is a hint: whatever is lost here, the next sweep finds by query.
 */
import type { Clock } from "../runtime/clock.ts";
import type { Queue } from "../runtime/queue/queue.ts";
import type { Random } from "../runtime/random.ts";

export interface Wakers {
  /** Deposits wait for these blocks: one delayed job for each, due when its block is expected. */
  settleAt(
    chainId: number,
    targetBlocks: readonly bigint[],
    cursorNumber: bigint,
    blockTimeMs: number,
  ): Promise<void>;
  /** The block at the cursor made deposits due: its job runs now, and is made if there was none. */
  settleNow(chainId: number, cursorNumber: bigint): Promise<void>;
  /** There are deliveries to make. */
  deliver(): Promise<void>;
  /** A delivery is to be tried again then. */
  deliverAt(time: Date): Promise<void>;
}

/**
 * @param deliverHere given where this process delivers itself: then no job is needed to wake it
 */
export function createWakers(parts: {
  queue: Queue;
  clock: Clock;
  random: Random;
  deliverHere?: () => void;
}): Wakers {
  const { queue, clock, deliverHere } = parts;
  const instance = parts.random.bytes(6).toString("hex");
  let deliverCount = 0;
  return {
    settleAt: async (chainId, targetBlocks, cursorNumber, blockTimeMs) => {
      for (const block of targetBlocks) {
        const delayMs = Number(block - cursorNumber) * blockTimeMs;
        await queue.nudge("settle", { ...settleJob(chainId, block), delayMs });
      }
    },
    settleNow: async (chainId, cursorNumber) => {
      const job = settleJob(chainId, cursorNumber);
      if (!(await queue.promote("settle", job.id))) await queue.nudge("settle", job);
    },
    deliver: async () => {
      if (deliverHere !== undefined) return deliverHere();
      // A new id each time: a job that is just ending may have looked before this commit.
      deliverCount += 1;
      await queue.nudge("deliver", { id: `deliver-${instance}-${deliverCount}`, data: {} });
    },
    deliverAt: async (time) => {
      const second = Math.ceil(time.getTime() / 1000);
      const delayMs = Math.max(0, second * 1000 - clock.now());
      await queue.nudge("deliver", { id: `deliver-at-${second}`, data: {}, delayMs });
    },
  };
}

function settleJob(chainId: number, block: bigint) {
  return { id: `settle-${chainId}-${block}`, data: { chainId, block: Number(block) } };
}
