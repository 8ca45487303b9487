/**
 * Makes sure that the chain behind a URL is the configured one: at first use, after every lost connection or
 * failed answer, and once in a while, because a load balancer changes what stands behind it without a sign.
 */
import { FatalError } from "../core/errors.ts";
import type { Clock } from "../runtime/clock.ts";
import { AnswerRefused } from "./answer.ts";
import type { Ask } from "./json-rpc.ts";

export interface ChainIdGuard {
  /**
   * Returns at once while the last check holds.
   *
   * @throws {FatalError} `wrong_chain`
   */
  ensure(signal?: AbortSignal): Promise<void>;
  /** The last check holds no longer. */
  invalidate(): void;
  /** False after `invalidate`: an answer that was under way then is believed only after another `ensure`. */
  isValid(): boolean;
}

const MAX_AGE_MS = 60_000;

export function createChainIdGuard(
  ask: Ask,
  expected: { readonly chainId: number; readonly nodeName: string },
  clock: Clock,
): ChainIdGuard {
  let checkedAt: number | undefined;
  const isValid = () => checkedAt !== undefined && clock.monotonic() - checkedAt < MAX_AGE_MS;
  return {
    isValid,
    invalidate: () => {
      checkedAt = undefined;
    },
    ensure: async (signal) => {
      if (isValid()) return;
      const startedAt = clock.monotonic();
      const actual = await readChainId(ask, signal);
      if (actual !== expected.chainId) throw wrongChain(expected, actual);
      checkedAt = startedAt;
    },
  };
}

export async function readChainId(ask: Ask, signal?: AbortSignal): Promise<number> {
  const answer = await ask("eth_chainId", [], signal);
  const chainId = typeof answer === "string" && /^0x[0-9a-f]+$/i.test(answer) ? Number(answer) : Number.NaN;
  if (!Number.isSafeInteger(chainId)) throw new AnswerRefused("The chain id is not a number");
  return chainId;
}

function wrongChain(expected: { chainId: number; nodeName: string }, actual: number): FatalError {
  return new FatalError(
    "wrong_chain",
    `The node ${expected.nodeName} is of chain ${actual}, not of chain ${expected.chainId}: correct its url or the chain's id`,
    { node: expected.nodeName, expectedChainId: expected.chainId, actualChainId: actual },
  );
}
