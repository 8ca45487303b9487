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

export interface Hints {
  listen(listener: (header: BlockHeader) => void): () => void;
  /** Resolves when every socket is gone. */
  close(): Promise<void>;
}

/** A socket without a message for so many blocks, and at least for so long, is taken for dead. */
const SILENT_BLOCKS = 10;
const LEAST_SILENCE_MS = 30_000;

export function createHints(options: HintsOptions): Hints {
  const { chain, clock, logger, random } = options;
  const listeners = new Set<(header: BlockHeader) => void>();
  const targets = chain.nodes.flatMap(({ wsUrl: url }) =>
    url === null ? [] : [{ url, address: parseNodeAddress(url, ["ws:", "wss:"]) }],
  );
  const longestSilenceMs = Math.max(LEAST_SILENCE_MS, SILENT_BLOCKS * chain.blockTimeMs);
  let running: { readonly stop: AbortController; readonly ended: Promise<unknown> } | undefined;

  const tell = (header: BlockHeader) => {
    for (const listener of listeners) listener(header);
  };
  const start = () => {
    const stop = new AbortController();
    const sockets = targets.map((target) =>
      followNewHeads({ ...target, clock, logger, random, longestSilenceMs, onHead: tell }, stop.signal),
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
