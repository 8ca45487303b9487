/** Asks several nodes the same question, one after the other, until one gives an answer; and all of them again after a pause. */
import { setMaxListeners } from "node:events";
import { DepositdError, FatalError } from "../core/errors.ts";
import type { Clock } from "../runtime/clock.ts";
import type { Random } from "../runtime/random.ts";
import type { ChainNode } from "./node.ts";

/** How long a question is tried again here. The caller's signal ends it sooner; the caller's own loop goes on longer. */
export interface RetryPolicy {
  /** How often all nodes are asked. */
  readonly rounds: number;
  readonly firstPauseMs: number;
  readonly longestPauseMs: number;
}

/** Pauses of 100, 300 and 900 ms, each ± 25 %. */
const DEFAULT_RETRY: RetryPolicy = { rounds: 4, firstPauseMs: 100, longestPauseMs: 5_000 };

export interface AskedNodes<Answer> {
  /** Whom to ask, in which order; looked at anew in each round. */
  order(): readonly ChainNode[];
  question(node: ChainNode): Promise<Answer>;
  /** An answer that is not stands in for a better one, if no other node has it. */
  isEnough?(answer: Answer): boolean;
}

export type Failover = <Answer>(asked: AskedNodes<Answer>, signal?: AbortSignal) => Promise<Answer>;

export function createFailover(options: {
  readonly chainId: number;
  readonly clock: Clock;
  readonly random: Random;
  readonly retry?: Partial<RetryPolicy> | undefined;
}): Failover {
  const { chainId, clock, random } = options;
  const retry = { ...DEFAULT_RETRY, ...options.retry };
  return async (asked, signal) => {
    // Each request under way listens to the signal; a warning at the eleventh would say nothing.
    if (signal !== undefined) setMaxListeners(0, signal);
    for (let round = 1; ; round++) {
      const outcome = await askInTurn(asked, signal);
      if (outcome.isAnswered) return outcome.answer;
      const isHopeless = outcome.failures.every((failure) => !failure.retryable);
      if (isHopeless || round >= retry.rounds) throw worthTelling(outcome.failures, chainId);
      const pause = Math.min(retry.longestPauseMs, retry.firstPauseMs * 3 ** (round - 1));
      await clock.sleep(pause * (0.75 + random.fraction() / 2), signal);
      signal?.throwIfAborted();
    }
  };
}

type Outcome<Answer> =
  | { readonly isAnswered: true; readonly answer: Answer }
  | { readonly isAnswered: false; readonly failures: readonly DepositdError[] };

async function askInTurn<Answer>(
  { order, question, isEnough = () => true }: AskedNodes<Answer>,
  signal?: AbortSignal,
): Promise<Outcome<Answer>> {
  const failures: DepositdError[] = [];
  let standIn: Outcome<Answer> | undefined;
  for (const node of order()) {
    try {
      const answer = await question(node);
      if (isEnough(answer)) return { isAnswered: true, answer };
      standIn = { isAnswered: true, answer };
    } catch (rawError) {
      signal?.throwIfAborted();
      if (!(rawError instanceof DepositdError)) throw rawError;
      failures.push(rawError);
    }
  }
  return standIn ?? { isAnswered: false, failures };
}

/** A failure that may pass says more than one that will not, as long as there is one. */
export function worthTelling(failures: readonly DepositdError[], chainId: number): DepositdError {
  const told = failures.find((failure) => failure.retryable) ?? failures[0];
  return told ?? new FatalError("config_invalid", `Chain ${chainId} has no nodes`, { chainId });
}
