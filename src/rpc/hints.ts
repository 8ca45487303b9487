/** New-head hints of all nodes of a chain that have a WebSocket; open as long as somebody listens. */
import type { BlockHeader } from "../core/chain.ts";
import type { Clock } from "../runtime/clock.ts";
import type { ChainConfig } from "../runtime/config/config.ts";
import type { Logger } from "../runtime/logger.ts";
import type { Random } from "../runtime/random.ts";
import { followNewHeads } from "./new-heads.ts";
import { parseNodeAddress } from "./node-address.ts";

export interface HintsOptions {
  readonly chain: Pick<ChainConfig, "nodes" | "blockTimeMs">;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly random: Random;
}

export type HintedHead = (header: BlockHeader, node: number) => void;

export interface Hints {
  /** Calls back with each head, and the index of the node that spoke of it. */
  listen(listener: HintedHead): () => void;
  /** Resolves when every socket is gone. */
  close(): Promise<void>;
}

/** A socket without a message for so many blocks, and at least for so long, is taken for dead. */
const SILENT_BLOCKS = 10;
const LEAST_SILENCE_MS = 30_000;

export function createHints(options: HintsOptions): Hints {
  const { chain, clock, logger, random } = options;
  const listeners = new Set<HintedHead>();
  const targets = chain.nodes.flatMap(({ wsUrl: url }, node) =>
    url === null ? [] : [{ url, node, address: parseNodeAddress(url, ["ws:", "wss:"]) }],
  );
  const longestSilenceMs = Math.max(LEAST_SILENCE_MS, SILENT_BLOCKS * chain.blockTimeMs);
  let running: { readonly stop: AbortController; readonly ended: Promise<unknown> } | undefined;

  const tellOf = (node: number) => (header: BlockHeader) => {
    for (const listener of listeners) listener(header, node);
  };
  const start = () => {
    const stop = new AbortController();
    const sockets = targets.map(({ url, address, node }) =>
      followNewHeads(
        { url, address, clock, logger, random, longestSilenceMs, onHead: tellOf(node) },
        stop.signal,
      ),
    );
    return { stop, ended: Promise.all(sockets) };
  };
  const close = async () => {
    const last = running;
    running = undefined;
    last?.stop.abort();
    await last?.ended;
  };

  return {
    listen: (listener) => {
      listeners.add(listener);
      running ??= start();
      return () => {
        listeners.delete(listener);
        if (listeners.size === 0) void close();
      };
    },
    close,
  };
}
