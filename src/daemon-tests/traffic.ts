/** Deposits that keep coming while blocks are mined, from a seed, so that a run that found something can be run again. */
import { encodeFunctionData, zeroAddress } from "viem";
import type { Address } from "../core/hex.ts";
import { systemClock } from "../runtime/clock.ts";
import { batcherAbi, forwarderAbi, tokenAbi } from "../testing/contracts.ts";
import type { TestTransaction } from "../testing/test-transactions.ts";
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
  /** Some payments go through these, and some fail within them. */
  readonly contracts?: PayingContracts;
  /** How often, of all blocks, the last few are mined again as a competing branch. */
  readonly reorgShare?: number;
}

export interface PayingContracts {
  readonly batcher: Address;
  readonly forwarder: Address;
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

function somePayments(rig: Rig, options: TrafficOptions): TestTransaction[] {
  const { random } = options;
  const count = 1 + Math.floor(random() * 4);
  return Array.from({ length: count }, () => {
    const kinds =
      options.contracts === undefined ? DIRECT : [...DIRECT, ...throughContracts(options.contracts)];
    const kind = kinds[Math.floor(random() * kinds.length)] ?? payCoins;
    return kind({
      rig,
      pick: () => pickUser(options),
      units: () => BigInt(1 + Math.floor(random() * 1_000)),
    });
  });
}

function pickUser({ random, users }: TrafficOptions): Address {
  return users[Math.floor(random() * users.length)] as Address;
}

interface Ingredients {
  readonly rig: Rig;
  pick(): Address;
  units(): bigint;
}

type PaymentKind = (ingredients: Ingredients) => TestTransaction;

const MILLI = ETHER / 1_000n;
const TOKEN_UNIT = 1_000_000n;

const payCoins: PaymentKind = ({ pick, units }) => ({ to: pick(), valueWei: units() * MILLI });

const payTokens: PaymentKind = ({ rig, pick, units }) => ({
  to: rig.token.address,
  data: encodeFunctionData({ abi: tokenAbi, functionName: "transfer", args: [pick(), units() * TOKEN_UNIT] }),
});

const DIRECT: readonly PaymentKind[] = [payCoins, payTokens];

/** Batches of coins and tokens, an inner call, one that is undone inside, and one that fails as a whole. */
function throughContracts({ batcher, forwarder }: PayingContracts): PaymentKind[] {
  const forward =
    (functionName: "forward" | "forwardAndRevertInside"): PaymentKind =>
    ({ pick, units }) => ({
      to: forwarder,
      valueWei: units() * MILLI,
      data: encodeFunctionData({ abi: forwarderAbi, functionName, args: [pick()] }),
    });
  const batch: PaymentKind = ({ rig, pick, units }) => {
    const coins = [1, 2].map(() => ({ token: zeroAddress, to: pick(), value: units() * MILLI }));
    const tokens = [1, 2].map(() => ({ token: rig.token.address, to: pick(), value: units() * TOKEN_UNIT }));
    return {
      to: batcher,
      valueWei: coins.reduce((sum, { value }) => sum + value, 0n),
      data: encodeFunctionData({ abi: batcherAbi, functionName: "pay", args: [[...coins, ...tokens]] }),
    };
  };
  const failing: PaymentKind = ({ rig, pick }) => ({
    to: rig.token.address,
    valueWei: MILLI, // which the token does not take
    data: encodeFunctionData({ abi: tokenAbi, functionName: "transfer", args: [pick(), TOKEN_UNIT] }),
  });
  return [batch, forward("forward"), forward("forwardAndRevertInside"), failing];
}
