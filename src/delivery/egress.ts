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
  const targets = createTargets(allowPrivateTargets);
  const parts = { connections, targets, deadlines: createDeadlines(clock), clock, limits };
  return {
    attempt: (request) => post(parts, request),
    destroy: () => connections.destroy(),
  };
}

interface PostParts {
  readonly connections: Connections;
  readonly deadlines: Deadlines;
  readonly clock: Clock;
  readonly limits: EgressLimits;
  readonly targets: (url: string) => Target;
}

/** Without `async` in it: of thousands of attempts a second, each frame of a promise would be paid for. */
function post(parts: PostParts, request: CallbackRequest): Promise<AttemptOutcome> {
  return new Promise((resolve) => {
    const startedAt = parts.clock.monotonic();
    try {
      send(parts, request, startedAt, resolve);
    } catch (rawError) {
      const durationMs = Math.round(parts.clock.monotonic() - startedAt);
      resolve({ ...failed(rawError), durationMs, phases: NO_PHASES });
    }
  });
}

function send(
  parts: PostParts,
  request: CallbackRequest,
  startedAt: number,
  resolve: (outcome: AttemptOutcome) => void,
): void {
  const { connections, deadlines, limits } = parts;
  const { origin, path } = parts.targets(request.url);
  const connection = connections.take(origin);
  Object.assign(connection.phases, newConnectPhases()); // what is written from now on is this attempt's
  const answer = createAnswerHandler(parts, connection, startedAt, (outcome, isReusable) => {
    callOff();
    if (isReusable) connections.giveBack(origin, connection);
    else connections.discard(connection);
    resolve(outcome);
  });
  const callOff = deadlines.set(request.timeoutMs, answer.timeOut);
  const { headers, body, timeoutMs } = request;
  const bodyTimeout = Math.min(timeoutMs, limits.bodyTimeoutMs);
  connection.client.dispatch({ path, method: "POST", headers, body, bodyTimeout }, answer.handler);
}

type Settle = (outcome: AttemptOutcome, isReusable: boolean) => void;

/** Follows one request through undici and settles exactly once; whatever comes later closes the connection. */
function createAnswerHandler(
  { clock, deadlines, limits }: PostParts,
  { phases }: Connection,
  startedAt: number,
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
    const durationMs = Math.round(clock.monotonic() - startedAt);
    const took = phasesOf(phases, firstByteMs);
    const outcome =
      response === undefined
        ? { ...failed(error ?? new Error("no answer")), durationMs, phases: took }
        : answered(response, error, durationMs, took);
    settle(outcome, error === undefined);
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

function phasesOf({ dnsMs, connectMs, tlsMs }: ConnectPhases, firstByteMs: number | null): AttemptPhases {
  return { dnsMs: rounded(dnsMs), connectMs: rounded(connectMs), tlsMs: rounded(tlsMs), firstByteMs };
}

function rounded(ms: number | null): number | null {
  return ms === null ? null : Math.round(ms);
}

function answered(
  response: { httpStatus: number; retryAfterMs: number | null; reader: ResponseReader },
  cutShortBy: Error | undefined,
  durationMs: number,
  phases: AttemptPhases,
): AttemptOutcome {
  return {
    httpStatus: response.httpStatus,
    error: errorOfStatus(response.httpStatus),
    errorCode: null,
    responseBody: response.reader.text(cutShortBy !== undefined),
    retryAfterMs: response.retryAfterMs,
    durationMs,
    phases,
  };
}

function failed(rawError: unknown): Omit<AttemptOutcome, "durationMs" | "phases"> {
  const { errorClass, errorCode } = classifyError(coerceError(rawError));
  return { httpStatus: null, error: errorClass, errorCode, responseBody: null, retryAfterMs: null };
}

/** Of a URL that may be called. */
interface Target {
  readonly origin: string;
  readonly path: string;
}

const MAX_TARGETS = 1_000;

/**
 * Reads and checks URLs, and remembers what came of those that may be called: it follows from their text alone. Where
 * their names lead to is looked at for each connection.
 */
function createTargets(allowPrivateTargets: boolean): (url: string) => Target {
  const known = new Map<string, Target>();
  return (text) => {
    const found = known.get(text);
    if (found !== undefined) return found;
    const { origin, pathname, search } = readUrl(text, allowPrivateTargets);
    const target = { origin, path: pathname + search };
    if (known.size >= MAX_TARGETS) known.clear();
    known.set(text, target);
    return target;
  };
}

function readUrl(text: string, allowPrivateTargets: boolean): URL {
  try {
    return assertCallbackUrl(text, { allowPrivateTargets });
  } catch (rawError) {
    throw new AttemptError("invalid_url", "the URL may not be called", rawError);
  }
}
