/** The review before a credit: its rules as they are in force, and what looks after them. */
import type { WorkerParts } from "./app-workers.ts";
import { screenDeposits } from "./flow/screen-deposits.ts";
import type { HoldRules } from "./review/hold-rules.ts";
import { holdRulesOf } from "./review/hold-rules.ts";
import type { SenderLists } from "./review/sender-lists.ts";
import type { Clock } from "./runtime/clock.ts";
import type { Config } from "./runtime/config/config.ts";
import type { Metrics } from "./runtime/metrics.ts";
import type { Worker } from "./runtime/supervisor.ts";

/** Made anew only when the config in force is another. */
export function createHoldRules(review: () => Config["review"], lists: SenderLists): () => HoldRules | null {
  let inForce = review();
  let rules = holdRulesOf(inForce, lists);
  return () => {
    if (review() !== inForce) {
      inForce = review();
      rules = holdRulesOf(inForce, lists);
    }
    return rules;
  };
}

const LOOK_MS = 1_000;

export function senderListsWorker(parts: {
  readonly senderLists: SenderLists;
  readonly clock: Clock;
  readonly metrics: Metrics;
}): Worker {
  const { senderLists, clock, metrics } = parts;
  return {
    name: "look at sender lists",
    run: async (signal) => {
      while (!signal.aborted) {
        await senderLists.look();
        tellLists(metrics, senderLists, clock.now());
        await clock.sleep(LOOK_MS, signal);
      }
    },
  };
}

export function screeningWorker(parts: WorkerParts): Worker {
  const { review, metrics } = parts;
  return {
    name: "screen deposits",
    run: (signal) =>
      screenDeposits(
        {
          ...parts,
          screening: () => review().screening,
          sweepIntervalMs: parts.config.sweepIntervalMs,
          onAttempt: (result, durationMs) => {
            metrics.screeningAttempts.inc({ outcome: result });
            metrics.screeningSeconds.observe(durationMs / 1000);
          },
        },
        signal,
      ),
  };
}

function tellLists(metrics: Metrics, senderLists: SenderLists, now: number): void {
  const { senderListAddresses, senderListAge, senderListFaulty } = metrics;
  for (const gauge of [senderListAddresses, senderListAge, senderListFaulty]) gauge.reset();
  for (const { file, addressCount, readAt, problem } of senderLists.states()) {
    senderListAddresses.set({ file }, addressCount);
    senderListAge.set({ file }, Math.max(0, now - readAt) / 1000);
    senderListFaulty.set({ file }, problem === null ? 0 : 1);
  }
}
