/**
 * HTTP to one node: a pool of kept-alive connections, POST in, text out. What the text says is not looked at.
 *
 * Nodes are asked for identity encoding: on one's own network gunzip (180 MB/s) costs more than the bytes it
 * saves, and more than parsing them (450 MB/s).
 */
import { isAscii } from "node:buffer";
import { type Dispatcher, Pool } from "undici";
import { TemporaryError } from "../core/errors.ts";
import type { Clock } from "../runtime/clock.ts";
import type { NodeAddress } from "./node-address.ts";

export interface HttpTransport {
  /**
   * @throws {TemporaryError} `node_unreachable` when no answer, or only part of one, came in time;
   * `node_answer_invalid` when it was too large
   */
  post(body: string, signal?: AbortSignal, pace?: Pace): Promise<HttpAnswer>;
  /** Ends every connection; what is under way fails. */
  close(): Promise<void>;
}

/** Whether a node has to work for the answer (a block, traces), or knows it (a header). */
export type Pace = "quick" | "patient";

export interface HttpAnswer {
  readonly status: number;
  readonly text: string;
  /** Seconds, as the node asked for with a 429 or 503. */
  readonly retryAfterSeconds: number | null;
}

export interface HttpTransportOptions {
  readonly address: NodeAddress;
  readonly clock: Clock;
  readonly maxConnections: number;
  readonly limits?: Partial<HttpLimits>;
  /** Called when a connection is lost: whoever is behind the name may be another one next time. */
  readonly onDisconnect: () => void;
}

export interface HttpLimits {
  readonly connectTimeoutMs: number;
  /** From the request to its headers: a node may think this long. */
  readonly headersTimeoutMs: number;
  /** The same for what a node knows: one that hangs must not hold up the look at the head. */
  readonly quickTimeoutMs: number;
  /** Between two pieces of the body. */
  readonly bodyTimeoutMs: number;
  /** For the answer as a whole, looked at with each piece: a trickle must not last for ever. */
  readonly totalTimeoutMs: number;
  readonly maxAnswerBytes: number;
}

const DEFAULT_LIMITS: HttpLimits = {
  connectTimeoutMs: 5_000,
  headersTimeoutMs: 15_000,
  quickTimeoutMs: 5_000,
  bodyTimeoutMs: 10_000,
  totalTimeoutMs: 60_000,
  maxAnswerBytes: 256 * 1024 * 1024,
};

export function createHttpTransport(options: HttpTransportOptions): HttpTransport {
  const limits = { ...DEFAULT_LIMITS, ...options.limits };
  const { address, clock } = options;
  const pool = new Pool(address.origin, {
    connections: options.maxConnections,
    pipelining: 1,
    connectTimeout: limits.connectTimeoutMs,
    headersTimeout: limits.headersTimeoutMs,
    bodyTimeout: limits.bodyTimeoutMs,
    keepAliveTimeout: 30_000,
  });
  pool.on("disconnect", options.onDisconnect);
  pool.on("connectionError", options.onDisconnect);
  const headers = {
    "content-type": "application/json",
    accept: "application/json",
    "accept-encoding": "identity",
    ...(address.authorization === null ? {} : { authorization: address.authorization }),
  };
  return {
    post: (body, signal, pace = "patient") =>
      new Promise((resolve, reject) => {
        if (signal?.aborted === true) return reject(signal.reason);
        const collector = createCollector({ address, clock, limits, signal }, { resolve, reject });
        const headersTimeout =
          pace === "quick"
            ? Math.min(limits.quickTimeoutMs, limits.headersTimeoutMs)
            : limits.headersTimeoutMs;
        pool.dispatch({ path: address.path, method: "POST", headers, body, headersTimeout }, collector);
      }),
    close: () => pool.destroy(),
  };
}

interface Question {
  readonly address: NodeAddress;
  readonly clock: Clock;
  readonly limits: HttpLimits;
  readonly signal: AbortSignal | undefined;
}

interface Asker {
  resolve(answer: HttpAnswer): void;
  reject(error: unknown): void;
}

/**
 * Collects an answer's bytes as they come off the socket. `pool.request` would put a stream between them.
 *
 * When it is over it forgets the asker and the bytes. The signal lives for as long as a follower does, and a
 * listener that was removed from it still points at those added after it: one that has grown old would keep the
 * parsed answers of thousands of later requests alive until the next full collection. (Measured while catching
 * up: sixteen times as many bytes moved by the collector.)
 */
function createCollector(question: Question, asker: Asker): Dispatcher.DispatchHandler {
  const { address, clock, limits, signal } = question;
  const startedAt = clock.monotonic();
  let waiting: Asker | undefined = asker;
  let running: Dispatcher.DispatchController | undefined;
  let pieces: Buffer[] = [];
  let byteCount = 0;
  let status = 0;
  let retryAfterSeconds: number | null = null;

  const finish = (): Asker | undefined => {
    signal?.removeEventListener("abort", onAbort);
    const told = waiting;
    waiting = undefined;
    running = undefined;
    pieces = [];
    return told;
  };
  const giveUp = (error: unknown) => {
    const request = running;
    finish()?.reject(error);
    request?.abort(new Error("given up"));
  };
  const onAbort = () => giveUp(signal?.reason);
  signal?.addEventListener("abort", onAbort, { once: true });

  return {
    onRequestStart: (controller) => {
      if (waiting === undefined) controller.abort(new Error("given up"));
      else running = controller;
    },
    onResponseStart: (_controller, statusCode, headers) => {
      status = statusCode;
      retryAfterSeconds = readRetryAfter(headers["retry-after"]);
    },
    onResponseData: (_controller, piece) => {
      byteCount += piece.length;
      pieces.push(piece);
      if (byteCount > limits.maxAnswerBytes) giveUp(tooLarge(address, limits.maxAnswerBytes));
      if (clock.monotonic() - startedAt > limits.totalTimeoutMs)
        giveUp(unreachable(address, "answers too slowly"));
    },
    onResponseEnd: () => {
      const answer = { status, text: decode(pieces, byteCount), retryAfterSeconds };
      finish()?.resolve(answer);
    },
    onResponseError: (_controller, error) => finish()?.reject(unreachable(address, reasonOf(error), error)),
  };
}

/** Block data is ASCII, which is read four times as fast; only error messages may hold more. */
function decode(pieces: Buffer[], byteCount: number): string {
  const [first] = pieces;
  const bytes = first !== undefined && pieces.length === 1 ? first : Buffer.concat(pieces, byteCount);
  return bytes.toString(isAscii(bytes) ? "latin1" : "utf8");
}

function readRetryAfter(header: string | string[] | undefined): number | null {
  const seconds = Number(header);
  return header !== undefined && Number.isFinite(seconds) && seconds >= 0 ? seconds : null;
}

function reasonOf(error: Error): string {
  const code = (error as { code?: unknown }).code;
  return typeof code === "string" ? code : error.name;
}

function unreachable(address: NodeAddress, reason: string, cause?: Error): TemporaryError {
  return new TemporaryError(
    "node_unreachable",
    `The node ${address.name} did not answer (${reason})`,
    { node: address.name, reason },
    cause,
  );
}

function tooLarge(address: NodeAddress, maxBytes: number): TemporaryError {
  return new TemporaryError(
    "node_answer_invalid",
    `The node ${address.name} answered more than ${maxBytes} bytes`,
    {
      node: address.name,
      maxBytes,
    },
  );
}
