/**
 * One HTTP attempt, out of this process and into the merchant's, with every limit there is: allowed addresses
 * only, no redirects, one time limit for all of it, and no more than 64 kB of the answer.
 *
 * An answer counts from its status line on. What its body does after that (hangs, breaks, never ends) cannot
 * turn a success into a failure: the merchant has said that it took the event.
 */
import { Agent, type Dispatcher } from "undici";
import { coerceError } from "../core/errors.ts";
import type { Clock } from "../runtime/clock.ts";
import { isPublicAddress } from "./address-guard.ts";
import {
  AttemptError,
  type AttemptOutcome,
  classifyError,
  errorOfStatus,
  parseRetryAfter,
  timedOut,
} from "./attempt-outcome.ts";
import { assertCallbackUrl } from "./callback-url.ts";
import { createDeadlines, type Deadlines } from "./deadlines.ts";
import { createGuardedConnector } from "./guarded-connector.ts";
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
  /**
   * At least as many as attempts are made at once. Fewer would make an attempt wait for another merchant's
   * behind the same host, and that wait would count against its own time.
   */
  readonly connectionsPerOrigin: number;
  readonly clock: Clock;
  readonly isAllowedAddress?: (address: string) => boolean;
  readonly resolve?: ResolveHost;
  readonly ca?: string;
}

const CONNECT_TIMEOUT_MS = 10_000;
/** For the next piece of an answer's body. The answer has counted already, so this only bounds the log's wait. */
const BODY_PAUSE_TIMEOUT_MS = 5_000;
const MAX_HEADER_BYTES = 16_384;

export function createEgress(options: EgressOptions): Egress {
  const { allowPrivateTargets, clock } = options;
  const agent = new Agent({
    connections: options.connectionsPerOrigin,
    pipelining: 1,
    maxHeaderSize: MAX_HEADER_BYTES,
    connect: createGuardedConnector({
      isAllowedAddress: options.isAllowedAddress ?? (allowPrivateTargets ? () => true : isPublicAddress),
      resolve: options.resolve ?? (allowPrivateTargets ? resolveBySystem : createHostResolver()),
      connectTimeoutMs: CONNECT_TIMEOUT_MS,
      ca: options.ca,
      clock,
    }),
  });

  const parts = { agent, deadlines: createDeadlines(clock), clock, allowPrivateTargets };
  return {
    attempt: async (request) => {
      const startedAt = clock.monotonic();
      const answer = await post(parts, request).catch(failed);
      return { ...answer, durationMs: Math.round(clock.monotonic() - startedAt) };
    },
    destroy: () => agent.destroy(),
  };
}

type Answer = Omit<AttemptOutcome, "durationMs">;

interface PostParts {
  readonly agent: Agent;
  readonly deadlines: Deadlines;
  readonly clock: Clock;
  readonly allowPrivateTargets: boolean;
}

async function post(parts: PostParts, request: CallbackRequest): Promise<Answer> {
  const url = readUrl(request.url, parts.allowPrivateTargets);
  return new Promise((resolve) => {
    const answer = createAnswerHandler(parts.clock, (result) => {
      callOff();
      resolve(result);
    });
    const callOff = parts.deadlines.set(request.timeoutMs, answer.timeOut);
    parts.agent.dispatch(
      {
        origin: url.origin,
        path: url.pathname + url.search,
        method: "POST",
        headers: request.headers,
        body: request.body,
        headersTimeout: 0, // the deadline covers it
        bodyTimeout: Math.min(BODY_PAUSE_TIMEOUT_MS, request.timeoutMs),
      },
      answer.handler,
    );
  });
}

/** Follows one request through undici and settles exactly once; whatever comes later closes the connection. */
function createAnswerHandler(clock: Clock, settle: (answer: Answer) => void) {
  let controller: Dispatcher.DispatchController | undefined;
  let response: { httpStatus: number; retryAfterMs: number | null; reader: ResponseReader } | undefined;
  let isSettled = false;

  function finish(error?: Error): void {
    if (isSettled) return;
    isSettled = true;
    settle(response === undefined ? failed(error ?? new Error("no answer")) : answered(response, error));
    if (error !== undefined) controller?.abort(error);
  }

  const handler: Dispatcher.DispatchHandler = {
    onRequestStart: (started) => {
      controller = started;
      // It waited for its connection until its time was over: nothing may be sent any more.
      if (isSettled) started.abort(new AttemptError("timeout", "no connection in time"));
    },
    onResponseStart: (_controller, httpStatus, headers) => {
      if (httpStatus < 200) return; // informational; the answer comes after it
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
  const timeOut = (lateMs: number) => {
    if (!isSettled) finish(timedOut("no answer in time", lateMs));
  };
  return { handler, timeOut };
}

function answered(
  response: { httpStatus: number; retryAfterMs: number | null; reader: ResponseReader },
  cutShortBy: Error | undefined,
): Answer {
  return {
    httpStatus: response.httpStatus,
    error: errorOfStatus(response.httpStatus),
    errorCode: null,
    responseBody: response.reader.text(cutShortBy !== undefined),
    retryAfterMs: response.retryAfterMs,
  };
}

function failed(rawError: unknown): Answer {
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
