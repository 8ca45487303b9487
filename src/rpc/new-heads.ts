/**
 * `eth_subscribe newHeads` over one WebSocket, for ever: dialled again after every loss, and after a silence,
 * since a connection that a middle box has forgotten stays open and says nothing.
 *
 * Nothing here throws and nothing depends on it. Polling finds every block; this finds most of them sooner.
 */
import type { Socket } from "node:net";
import { Agent, buildConnector, WebSocket } from "undici";
import type { BlockHeader } from "../core/chain.ts";
import { coerceError } from "../core/errors.ts";
import type { Clock } from "../runtime/clock.ts";
import type { Logger } from "../runtime/logger.ts";
import type { Random } from "../runtime/random.ts";
import { isFields } from "./answer.ts";
import { checkHeader } from "./check-block.ts";
import type { NodeAddress } from "./node-address.ts";

export interface NewHeadsOptions {
  readonly url: string;
  readonly address: NodeAddress;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly random: Random;
  readonly longestSilenceMs: number;
  readonly onHead: (header: BlockHeader) => void;
}

const FIRST_PAUSE_MS = 250;
const LONGEST_PAUSE_MS = 30_000;
const CONNECT_TIMEOUT_MS = 10_000;

/** Runs until the signal aborts; then every socket is gone. */
export async function followNewHeads(options: NewHeadsOptions, signal: AbortSignal): Promise<void> {
  const { address, clock, logger, random } = options;
  let failures = 0;
  while (!signal.aborted) {
    const end = await listenOnce(options, signal).catch(
      (rawError: unknown): End => ({ reason: coerceError(rawError).message, hadHeads: false }),
    );
    if (signal.aborted) return;
    failures = end.hadHeads ? 1 : failures + 1;
    logger.debug("Lost new-head hints", { node: address.name, reason: end.reason, failures });
    const pause = Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** (failures - 1));
    await clock.sleep(pause * (0.75 + random.fraction() / 2), signal);
  }
}

interface End {
  readonly reason: string;
  readonly hadHeads: boolean;
}

/** One connection from its dialling to its loss. */
async function listenOnce(options: NewHeadsOptions, signal: AbortSignal): Promise<End> {
  const { clock, longestSilenceMs, onHead } = options;
  const connection = dial(options.url, options.address);
  const { socket } = connection;
  const over = new AbortController();
  let reason = "stopped";
  let lastMessageAt = clock.monotonic();
  let hadHeads = false;

  const end = (why: string) => {
    if (!over.signal.aborted) reason = why;
    over.abort();
  };
  const onMessage = ({ data }: { readonly data: unknown }) => {
    lastMessageAt = clock.monotonic();
    const header = readHead(data);
    if (header === null) return;
    hadHeads = true;
    onHead(header);
  };
  const onAbort = () => end("stopped");
  signal.addEventListener("abort", onAbort, { once: true });
  socket.addEventListener("open", () => socket.send(SUBSCRIBE));
  socket.addEventListener("message", onMessage);
  socket.addEventListener("close", () => end("closed"));
  socket.addEventListener("error", () => end("failed"));

  while (!over.signal.aborted) {
    await clock.sleep(longestSilenceMs / 4, over.signal);
    if (clock.monotonic() - lastMessageAt >= longestSilenceMs) end("silent");
  }
  signal.removeEventListener("abort", onAbort);
  await connection.destroy();
  return { reason, hadHeads };
}

const SUBSCRIBE = JSON.stringify({ jsonrpc: "2.0", id: 1, method: "eth_subscribe", params: ["newHeads"] });

interface Connection {
  readonly socket: WebSocket;
  destroy(): Promise<void>;
}

/** The connector keeps the sockets, because a closing handshake with a peer that is silent never ends. */
function dial(url: string, address: NodeAddress): Connection {
  const sockets = new Set<Socket>();
  const connect = buildConnector({ timeout: CONNECT_TIMEOUT_MS });
  const dispatcher = new Agent({
    headersTimeout: CONNECT_TIMEOUT_MS,
    connect: (options, callback) =>
      connect(options, (...outcome) => {
        if (outcome[1] !== null) sockets.add(outcome[1]);
        callback(...outcome);
      }),
  });
  const bare = new URL(url);
  bare.username = "";
  bare.password = "";
  const headers = address.authorization === null ? undefined : { authorization: address.authorization };
  const socket = new WebSocket(bare, { dispatcher, ...(headers === undefined ? {} : { headers }) });
  return {
    socket,
    destroy: async () => {
      for (const each of sockets) each.destroy();
      await dispatcher.destroy();
    },
  };
}

/** `null` for whatever is not a new head; its number and hash are well-formed, not true. */
function readHead(data: unknown): BlockHeader | null {
  if (typeof data !== "string") return null;
  try {
    const message: unknown = JSON.parse(data);
    const params = isFields(message) ? message["params"] : null;
    return isFields(params) ? checkHeader(params["result"]) : null;
  } catch {
    return null;
  }
}
