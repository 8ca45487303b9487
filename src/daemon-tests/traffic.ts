/** Deposits that keep coming while blocks are mined, from a seed, so that a run that found something can be run again. */
import { encodeFunctionData } from "viem";
import type { Address } from "../core/hex.ts";
import { systemClock } from "../runtime/clock.ts";
import { tokenAbi } from "../testing/contracts.ts";
import type { Rig } from "./rig.ts";

/** Evenly spread in [0, 1). Mulberry32: small, and the same everywhere. */
export function seeded(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

export interface Traffic {
  /** Deposits sent so far. */
  sent(): number;
  /** Ends it after the block under way. */
  stop(): Promise<void>;
}

export interface TrafficOptions {
  readonly users: readonly Address[];
  readonly random: () => number;
  readonly pauseMs: number;
  /** How often, of all blocks, the last few are mined again as a competing branch. */
  readonly reorgShare?: number;
}

const ETHER = 10n ** 18n;
const MAX_REORG_DEPTH = 4;

/** A block every `pauseMs` with one to four deposits, coins and tokens in turn. */
export function startTraffic(rig: Rig, options: TrafficOptions): Traffic {
  const stopping = new AbortController();
  let sent = 0;
  const running = (async () => {
    while (!stopping.signal.aborted) {
      if (options.random() < (options.reorgShare ?? 0)) sent += await mineReorg(rig, options);
      else sent += await mineDeposits(rig, options);
      await systemClock.sleep(options.pauseMs, stopping.signal);
    }
  })();
  // A failure shows when it is stopped; until then it must not end the test runner.
  running.catch(() => undefined);
  return {
    sent: () => sent,
    stop: async () => {
      stopping.abort();
      await running;
    },
  };
}

async function mineDeposits(rig: Rig, options: TrafficOptions): Promise<number> {
  const transactions = await rig.anvil.signAll(somePayments(rig, options));
  await rig.anvil.mineBlock({ transactions });
  return transactions.length;
}

/** The same payments on two branches, at other places; on the second the first of them stays away until later. */
async function mineReorg(rig: Rig, options: TrafficOptions): Promise<number> {
  const { anvil } = rig;
  const payments = await anvil.signAll(somePayments(rig, options));
  const depth = 1 + Math.floor(options.random() * MAX_REORG_DEPTH);
  const point = await anvil.forkPoint();
  await anvil.mineBranch(point, [
    { transactions: payments },
    ...Array.from({ length: depth - 1 }, () => ({})),
  ]);
  await systemClock.sleep(options.pauseMs);
  const blocks = Array.from({ length: depth }, () => ({}));
  await anvil.mineBranch(point, [...blocks, { transactions: payments }]);
  return payments.length;
}

function somePayments(rig: Rig, options: TrafficOptions) {
  const { random, users } = options;
  const count = 1 + Math.floor(random() * 4);
  return Array.from({ length: count }, () => {
    const to = users[Math.floor(random() * users.length)] as Address;
    const units = BigInt(1 + Math.floor(random() * 1_000));
    if (random() < 0.5) return { to, valueWei: units * (ETHER / 1_000n) };
    return {
      to: rig.token.address,
      data: encodeFunctionData({ abi: tokenAbi, functionName: "transfer", args: [to, units * 1_000_000n] }),
    };
  });
}
