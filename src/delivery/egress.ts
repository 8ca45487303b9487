/**
 * One HTTP attempt, out of this process and into the merchant's, with every limit there is: allowed addresses
 * only, no redirects, one time limit for all of it, and no more than 64 kB of the answer.
 *
 * An answer counts from its status line on. What its body does after that (hangs, breaks, never ends) cannot
 * turn a success into a failure: the merchant has said that it took the event.
 */
import type { Dispatcher } from "undici";
import { coerceError } from "../core/errors.ts";
import type { Clock } from "../runtime/clock.ts";
import { isPublicAddress } from "./address-guard.ts";
import {
  AttemptError,
  type AttemptOutcome,
  type AttemptPhases,
  classifyError,
  errorOfStatus,
  NO_PHASES,
  parseRetryAfter,
  timedOut,
} from "./attempt-outcome.ts";
import { assertCallbackUrl } from "./callback-url.ts";
import type { ClientCertificate } from "./client-certificate.ts";
import { type Connection, type Connections, createConnections } from "./connections.ts";
import { createDeadlines, type Deadlines } from "./deadlines.ts";
import type { EgressProxy } from "./egress-proxy.ts";
import {
  type ConnectPhases,
  createGuardedConnector,
  newConnectPhases,
  proxyAway,
} from "./guarded-connector.ts";
import { createHostResolver, type ResolveHost, resolveBySystem } from "./resolve-host.ts";
import { createResponseReader, type ResponseReader } from "./response-reader.ts";

export interface CallbackRequest {
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
  /** For the attempt as a whole. */
  readonly timeoutMs: number;
}

export interface Egress {
  /** Never rejects: whatever happens is an outcome. */
  attempt(request: CallbackRequest): Promise<AttemptOutcome>;
  /** Ends every attempt under way (they come back as `local`) and closes all connections. */
  destroy(): Promise<void>;
}

export interface EgressOptions {
  /** Plain http and private addresses too: a developer's machine only. */
  readonly allowPrivateTargets: boolean;
  readonly limits?: EgressLimits;
  readonly clock: Clock;
  readonly isAllowedAddress?: (address: string) => boolean;
  readonly resolve?: ResolveHost;
  readonly ca?: string;
  readonly clientCertificate?: ClientCertificate | undefined;
  readonly proxy?: EgressProxy | undefined;
}

/** Beside the limit for an attempt as a whole. */
export interface EgressLimits {
  /** For name and connection together, and as much again for the TLS handshake. */
  readonly connectTimeoutMs: number;
  /** From the request on an open connection to the answer's headers. */
  readonly headersTimeoutMs: number;
  /** For the next piece of an answer's body. The answer has counted already, so this only bounds the log's wait. */
  readonly bodyTimeoutMs: number;
}

const DEFAULT_LIMITS: EgressLimits = {
  connectTimeoutMs: 10_000,
  headersTimeoutMs: Number.POSITIVE_INFINITY,
  bodyTimeoutMs: 5_000,
};

export function createEgress(options: EgressOptions): Egress {
  const { allowPrivateTargets, clock, limits = DEFAULT_LIMITS } = options;
  const connector = createGuardedConnector({
    isAllowedAddress: options.isAllowedAddress ?? (allowPrivateTargets ? () => true : isPublicAddress),
    resolve: options.resolve ?? (allowPrivateTargets ? resolveBySystem : createHostResolver()),
    connectTimeoutMs: limits.connectTimeoutMs,
    ca: options.ca,
    clientCertificate: options.clientCertificate,
    proxy: options.proxy,
    clock,
  });
  const connections = createConnections(connector, limits.bodyTimeoutMs);
  const parts = { connections, deadlines: createDeadlines(clock), clock, limits, allowPrivateTargets };
  return {
    attempt: async (request) => {
      const startedAt = clock.monotonic();
      const answer = await post(parts, request).catch(notBegun);
      return { ...answer, durationMs: Math.round(clock.monotonic() - startedAt) };
    },
    destroy: () => connections.destroy(),
  };
}

type Answer = Omit<AttemptOutcome, "durationMs">;

interface PostParts {
  readonly connections: Connections;
  readonly deadlines: Deadlines;
  readonly clock: Clock;
  readonly limits: EgressLimits;
  readonly allowPrivateTargets: boolean;
}

async function post(parts: PostParts, request: CallbackRequest): Promise<Answer> {
  const url = readUrl(request.url, parts.allowPrivateTargets);
  const connection = parts.connections.take(url.origin);
  Object.assign(connection.phases, newConnectPhases()); // what is written from now on is this attempt's
  return new Promise((resolve) => {
    const answer = createAnswerHandler(parts, connection, (result, isReusable) => {
      callOff();
      if (isReusable) parts.connections.giveBack(url.origin, connection);
      else parts.connections.discard(connection);
      resolve(result);
    });
    const callOff = parts.deadlines.set(request.timeoutMs, answer.timeOut);
    connection.client.dispatch(
      {
        path: url.pathname + url.search,
        method: "POST",
        headers: request.headers,
        body: request.body,
        ...(request.timeoutMs < parts.limits.bodyTimeoutMs ? { bodyTimeout: request.timeoutMs } : {}),
      },
      answer.handler,
    );
  });
}

type Settle = (answer: Answer, isReusable: boolean) => void;

/** Follows one request through undici and settles exactly once; whatever comes later closes the connection. */
function createAnswerHandler(
  { clock, deadlines, limits }: PostParts,
  { phases }: Connection,
  settle: Settle,
) {
  let sentAt: number | undefined;
  let firstByteMs: number | null = null;
  let callOffHeaders: () => void = () => undefined;
  let controller: Dispatcher.DispatchController | undefined;
  let response: { httpStatus: number; retryAfterMs: number | null; reader: ResponseReader } | undefined;
  let isSettled = false;

  function finish(error?: Error): void {
    if (isSettled) return;
    isSettled = true;
    callOffHeaders();
    const result =
      response === undefined ? failed(error ?? new Error("no answer")) : answered(response, error);
    settle({ ...result, phases: { ...phasesOf(phases), firstByteMs } }, error === undefined);
    if (error !== undefined) controller?.abort(error);
  }

  const timeOut = (lateMs: number) => {
    if (!isSettled) finish(phases.isAtProxy ? proxyAway() : timedOut("no answer in time", lateMs));
  };
  const handler: Dispatcher.DispatchHandler = {
    onRequestStart: (started) => {
      controller = started;
      // It waited for its connection until its time was over: nothing may be sent any more.
      if (isSettled) return started.abort(new AttemptError("timeout", "no connection in time"));
      sentAt = clock.monotonic();
      if (limits.headersTimeoutMs < Number.POSITIVE_INFINITY)
        callOffHeaders = deadlines.set(limits.headersTimeoutMs, timeOut);
    },
    onResponseStart: (_controller, httpStatus, headers) => {
      if (httpStatus < 200) return; // informational; the answer comes after it
      firstByteMs = sentAt === undefined ? null : Math.round(clock.monotonic() - sentAt);
      callOffHeaders();
      const retryAfterMs = parseRetryAfter(headers["retry-after"]?.toString(), clock.now());
      response = { httpStatus, retryAfterMs, reader: createResponseReader(headers) };
      if (response.reader.isFull()) finish(new AttemptError("protocol", "the answer is not kept"));
    },
    onResponseData: (_controller, chunk) => {
      response?.reader.take(chunk);
      if (response?.reader.isFull() === true) finish(new AttemptError("protocol", "the answer is too long"));
    },
    onResponseEnd: () => finish(),
    onResponseError: (_controller, error) => finish(coerceError(error)),
  };
  return { handler, timeOut };
}

function phasesOf({ dnsMs, connectMs, tlsMs }: ConnectPhases): Omit<AttemptPhases, "firstByteMs"> {
  return { dnsMs: rounded(dnsMs), connectMs: rounded(connectMs), tlsMs: rounded(tlsMs) };
}

function rounded(ms: number | null): number | null {
  return ms === null ? null : Math.round(ms);
}

function answered(
  response: { httpStatus: number; retryAfterMs: number | null; reader: ResponseReader },
  cutShortBy: Error | undefined,
): Omit<Answer, "phases"> {
  return {
    httpStatus: response.httpStatus,
    error: errorOfStatus(response.httpStatus),
    errorCode: null,
    responseBody: response.reader.text(cutShortBy !== undefined),
    retryAfterMs: response.retryAfterMs,
  };
}

function notBegun(rawError: unknown): Answer {
  return { ...failed(rawError), phases: NO_PHASES };
}

function failed(rawError: unknown): Omit<Answer, "phases"> {
  const { errorClass, errorCode } = classifyError(coerceError(rawError));
  return { httpStatus: null, error: errorClass, errorCode, responseBody: null, retryAfterMs: null };
}

function readUrl(text: string, allowPrivateTargets: boolean): URL {
  try {
    return assertCallbackUrl(text, { allowPrivateTargets });
  } catch (rawError) {
    throw new AttemptError("invalid_url", "the URL may not be called", rawError);
  }
}
