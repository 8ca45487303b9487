/** The nodes of a test chain, as the program sees them: quick to give up. */
import type { VerificationMode } from "../core/verification.ts";
import { type ChainNodes, type ChainNodesOptions, createChainNodes } from "../rpc/chain-nodes.ts";
import type { HttpLimits } from "../rpc/http-transport.ts";
import { type Clock, systemClock } from "../runtime/clock.ts";
import type { NodeConfig } from "../runtime/config/config.ts";
import { type Logger, silentLogger } from "../runtime/logger.ts";

export interface TestNodesOptions {
  readonly chainId?: number;
  readonly internal?: "trace" | "none";
  readonly retry?: ChainNodesOptions["retry"];
  readonly limits?: Partial<HttpLimits>;
  readonly clock?: Clock;
  readonly logger?: Logger;
  readonly blockTimeMs?: number;
  readonly verification?: VerificationMode;
  readonly events?: ChainNodesOptions["events"];
}

const PLAIN_NODE = { wsUrl: null, maxConcurrency: null };

export function testNodes(
  nodes: readonly (string | NodeConfig)[],
  options: TestNodesOptions = {},
): ChainNodes {
  return createChainNodes({
    chain: {
      id: options.chainId ?? 31337,
      nodes: nodes.map((node) => (typeof node === "string" ? { ...PLAIN_NODE, url: node } : node)),
      internal: options.internal ?? "none",
      blockTimeMs: options.blockTimeMs ?? 1_000,
      verification: options.verification ?? "auto",
    },
    clock: options.clock ?? systemClock,
    logger: options.logger ?? silentLogger,
    retry: { rounds: 2, firstPauseMs: 1, ...options.retry },
    ...(options.events === undefined ? {} : { events: options.events }),
    limits: { headersTimeoutMs: 5_000, ...options.limits },
  });
}
