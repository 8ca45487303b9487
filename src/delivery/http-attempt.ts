/**
 * One request, followed through undici until it settles, exactly once. An answer counts from its status line on: what
 * its body does after that (hangs, breaks, never ends) cannot turn a success into a failure, as the merchant has said
 * that it took the event.
 */
import type { Dispatcher } from "undici";
import type { IncomingHttpHeaders } from "undici/types/header.d.ts";
import { coerceError } from "../core/errors.ts";
import type { Clock } from "../runtime/clock.ts";
import {
  AttemptError,
  type AttemptOutcome,
  type AttemptPhases,
  classifyError,
  errorOfStatus,
  parseRetryAfter,
  timedOut,
} from "./attempt-outcome.ts";
import type { Connection, Connections } from "./connections.ts";
import type { Timed } from "./deadlines.ts";
import { type ConnectPhases, proxyAway } from "./guarded-connector.ts";
import { ResponseReader } from "./response-reader.ts";

/** Beside the limit for an attempt as a whole. */
export interface EgressLimits {
  /** For name and connection together, and as much again for the TLS handshake. */
  readonly connectTimeoutMs: number;
  /** From the request on an open connection to the answer's headers. */
  readonly headersTimeoutMs: number;
  /** For the next piece of an answer's body. The answer has counted already, so this only bounds the log's wait. */
  readonly bodyTimeoutMs: number;
}

export interface HttpAttemptParts {
  readonly connections: Connections;
  readonly clock: Clock;
  readonly limits: EgressLimits;
}

export type OnOutcome = (outcome: AttemptOutcome) => void;

interface Answer {
  readonly httpStatus: number;
  readonly retryAfterMs: number | null;
  readonly reader: ResponseReader;
}

/**
 * A class, as closures for each of thousands of requests a second take more room, which the garbage collector clears.
 *
 * A kept connection may be closed by the endpoint at the moment that the next request goes out, or be one of a server
 * that closes each without saying so. Then nobody knows whether the request was read, and it goes out once more over a
 * new one, which is no other attempt: the endpoint knows the event by its id.
 */
export class HttpAttempt implements Dispatcher.DispatchHandler, Timed {
  dueAt: number;
  private readonly parts: HttpAttemptParts;
  private readonly request: Dispatcher.DispatchOptions;
  private connection: Connection;
  private readonly startedAt: number;
  /** When the attempt as a whole is over. */
  private readonly lastAt: number;
  /** `undefined` once it settled; whatever comes then is not listened to. */
  private onOutcome: OnOutcome | undefined;
  private controller: Dispatcher.DispatchController | undefined = undefined;
  private sentAt: number | undefined = undefined;
  private firstByteMs: number | null = null;
  private answer: Answer | undefined = undefined;

  /** @param connection is given back or discarded with the outcome */
  constructor(
    parts: HttpAttemptParts,
    request: Dispatcher.DispatchOptions,
    connection: Connection,
    times: { readonly startedAt: number; readonly timeoutMs: number },
    onOutcome: OnOutcome,
  ) {
    this.parts = parts;
    this.request = request;
    this.connection = connection;
    this.startedAt = times.startedAt;
    this.lastAt = times.startedAt + times.timeoutMs;
    this.dueAt = this.lastAt;
    this.onOutcome = onOutcome;
  }

  send(): void {
    this.connection.client.dispatch(this.request, this);
  }

  fallDue(lateMs: number): void {
    this.settle(this.connection.phases.isAtProxy ? proxyAway() : timedOut("no answer in time", lateMs));
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.controller = controller;
    // It waited for its connection until its time was over: nothing may be sent any more.
    if (this.onOutcome === undefined) {
      controller.abort(new AttemptError("timeout", "no connection in time"));
      return;
    }
    this.sentAt = this.parts.clock.monotonic();
    this.allow(this.sentAt, this.parts.limits.headersTimeoutMs);
  }

  onResponseStart(
    _controller: Dispatcher.DispatchController,
    httpStatus: number,
    headers: IncomingHttpHeaders,
  ): void {
    if (httpStatus < 200) return; // informational; the answer comes after it
    const { clock, limits } = this.parts;
    const now = clock.monotonic();
    if (this.sentAt !== undefined) this.firstByteMs = Math.round(now - this.sentAt);
    this.allow(now, limits.bodyTimeoutMs);
    const retryAfterMs = parseRetryAfter(headers["retry-after"]?.toString(), clock.now());
    this.answer = { httpStatus, retryAfterMs, reader: new ResponseReader(headers) };
    if (this.answer.reader.isFull()) this.settle(new AttemptError("protocol", "the answer is not kept"));
  }

  onResponseData(_controller: Dispatcher.DispatchController, chunk: Buffer): void {
    this.allow(this.parts.clock.monotonic(), this.parts.limits.bodyTimeoutMs);
    this.answer?.reader.take(chunk);
    if (this.answer?.reader.isFull() === true)
      this.settle(new AttemptError("protocol", "the answer is too long"));
  }

  onResponseEnd(): void {
    this.settle();
  }

  onResponseError(_controller: Dispatcher.DispatchController, rawError: Error): void {
    const error = coerceError(rawError);
    if (this.isWaiting() && this.wasSentOverKept() && classifyError(error).errorClass === "reset")
      this.sendOverNew();
    else this.settle(error);
  }

  private isWaiting(): boolean {
    return this.onOutcome !== undefined && this.answer === undefined;
  }

  private wasSentOverKept(): boolean {
    return this.sentAt !== undefined && this.connection.phases.connectMs === null;
  }

  /** Within the time that is left. */
  private sendOverNew(): void {
    const { connections } = this.parts;
    connections.discard(this.connection);
    this.connection = connections.open(this.connection.origin);
    this.sentAt = undefined;
    this.dueAt = this.lastAt;
    this.send();
  }

  /** So long for what comes next, but for the end of all. */
  private allow(now: number, ms: number): void {
    this.dueAt = Math.min(this.lastAt, now + ms);
  }

  private settle(error?: Error): void {
    const { onOutcome, connection } = this;
    if (onOutcome === undefined) return;
    this.onOutcome = undefined;
    this.dueAt = Number.POSITIVE_INFINITY;
    const outcome = this.outcome(error);
    if (error === undefined) this.parts.connections.giveBack(connection);
    else {
      this.parts.connections.discard(connection);
      this.controller?.abort(error);
    }
    tell(onOutcome, outcome);
  }

  private outcome(error: Error | undefined): AttemptOutcome {
    const durationMs = Math.round(this.parts.clock.monotonic() - this.startedAt);
    const phases = phasesOf(this.connection.phases, this.firstByteMs);
    return this.answer === undefined
      ? failed(error ?? new Error("no answer"), durationMs, phases)
      : answered(this.answer, error, durationMs, phases);
  }
}

/** undici would take what is thrown by the listener for a fault of the connection. */
function tell(onOutcome: OnOutcome, outcome: AttemptOutcome): void {
  try {
    onOutcome(outcome);
  } catch (rawError) {
    queueMicrotask(() => {
      throw rawError;
    });
  }
}

function phasesOf({ dnsMs, connectMs, tlsMs }: ConnectPhases, firstByteMs: number | null): AttemptPhases {
  return { dnsMs: rounded(dnsMs), connectMs: rounded(connectMs), tlsMs: rounded(tlsMs), firstByteMs };
}

function rounded(ms: number | null): number | null {
  return ms === null ? null : Math.round(ms);
}

function answered(
  answer: Answer,
  cutShortBy: Error | undefined,
  durationMs: number,
  phases: AttemptPhases,
): AttemptOutcome {
  return {
    httpStatus: answer.httpStatus,
    error: errorOfStatus(answer.httpStatus),
    errorCode: null,
    durationMs,
    phases,
    responseBody: answer.reader.text(cutShortBy !== undefined),
    retryAfterMs: answer.retryAfterMs,
  };
}

/** What came of an attempt that got no answer. */
export function failed(error: Error, durationMs: number, phases: AttemptPhases): AttemptOutcome {
  const { errorClass, errorCode } = classifyError(error);
  return {
    httpStatus: null,
    error: errorClass,
    errorCode,
    durationMs,
    phases,
    responseBody: null,
    retryAfterMs: null,
  };
}
