/** What came of one attempt, in words that logs, metrics and merchants share. */
import type { ErrorCode } from "../core/errors.ts";

/**
 * Why an attempt failed:
 *
 * - `timeout`          no answer in time: connecting, or waiting for the answer's headers
 * - `refused`          nobody listens there
 * - `reset`            the connection broke before an answer came
 * - `unreachable`      no way to that address
 * - `dns`              the host's name does not resolve
 * - `tls`              the certificate is not valid for the host, or no TLS is spoken there
 * - `blocked_address`  the host leads to an address that is not public
 * - `invalid_url`      the URL is not one that callbacks may go to (any more)
 * - `redirect`         answered 3xx; redirects are not followed
 * - `status`           answered with another status than 2xx
 * - `protocol`         the answer is not HTTP
 * - `proxy`            the egress proxy failed, or could not be reached: not the merchant's fault
 * - `local`            this machine could not try (no file handles, no ports, frozen, stopping): not the merchant's fault
 */
export const ATTEMPT_ERRORS = [
  "timeout",
  "refused",
  "reset",
  "unreachable",
  "dns",
  "tls",
  "blocked_address",
  "invalid_url",
  "redirect",
  "status",
  "protocol",
  "proxy",
  "local",
] as const;
export type AttemptErrorClass = (typeof ATTEMPT_ERRORS)[number];

/** What an attempt's time went on, in milliseconds. `null`: not reached, or not needed on a connection that was kept. */
export interface AttemptPhases {
  readonly dnsMs: number | null;
  readonly connectMs: number | null;
  readonly tlsMs: number | null;
  /** From the request on an open connection to the answer's first byte. */
  readonly firstByteMs: number | null;
}

/** Of an attempt that was never begun. */
export const NO_PHASES: AttemptPhases = { dnsMs: null, connectMs: null, tlsMs: null, firstByteMs: null };

/** `errorCode` where nothing was sent, as the endpoint's secret cannot be opened. */
export const SECRET_KEY_WRONG = "secret_key_wrong" satisfies ErrorCode;

export interface AttemptOutcome {
  /** `null`: no answer came. */
  readonly httpStatus: number | null;
  /** `null`: delivered. */
  readonly error: AttemptErrorClass | null;
  /**
   * What the system or the TLS library called it, e.g. `ECONNREFUSED`, or what the proxy answered, e.g. `PROXY_407`;
   * never an address or a URL.
   */
  readonly errorCode: string | null;
  /** All of it, to the last byte of the answer that was read. */
  readonly durationMs: number;
  readonly phases: AttemptPhases;
  /** The answer as text, or a note in its place when it was too long. `null`: no answer came. */
  readonly responseBody: string | null;
  /** How long the endpoint asked us to wait. */
  readonly retryAfterMs: number | null;
}

/** An error that knows its class already. */
export class AttemptError extends Error {
  readonly errorClass: AttemptErrorClass;
  /** What the log calls it; left out: what its cause is called. */
  readonly code?: string;

  constructor(errorClass: AttemptErrorClass, message: string, cause?: unknown, code?: string) {
    super(message, cause === undefined ? undefined : { cause });
    this.name = "AttemptError";
    this.errorClass = errorClass;
    if (code !== undefined) this.code = code;
  }
}

/** A timer that fires so late tells of this process (frozen, starved), not of the endpoint. */
const STOOD_STILL_MS = 2_000;

/**
 * What a time limit means that has passed.
 *
 * @param lateMs how long after the limit it was noticed
 */
export function timedOut(message: string, lateMs: number): AttemptError {
  return lateMs > STOOD_STILL_MS
    ? new AttemptError("local", "this process stood still")
    : new AttemptError("timeout", message);
}

const CLASS_BY_CODE: Readonly<Record<string, AttemptErrorClass>> = {
  ECONNREFUSED: "refused",
  ECONNRESET: "reset",
  ECONNABORTED: "reset",
  EPIPE: "reset",
  UND_ERR_SOCKET: "reset",
  ETIMEDOUT: "timeout",
  UND_ERR_CONNECT_TIMEOUT: "timeout",
  UND_ERR_HEADERS_TIMEOUT: "timeout",
  UND_ERR_BODY_TIMEOUT: "timeout",
  EHOSTUNREACH: "unreachable",
  ENETUNREACH: "unreachable",
  EHOSTDOWN: "unreachable",
  EACCES: "unreachable",
  EMFILE: "local",
  ENFILE: "local",
  ENOMEM: "local",
  ENOBUFS: "local",
  EADDRNOTAVAIL: "local",
  ENETDOWN: "local",
  UND_ERR_DESTROYED: "local",
  UND_ERR_CLOSED: "local",
};

/** Anything not known by its code broke the HTTP conversation: `protocol`. */
export function classifyError(error: Error): { errorClass: AttemptErrorClass; errorCode: string | null } {
  if (error instanceof AttemptError) {
    return { errorClass: error.errorClass, errorCode: codeOf(error) ?? codeOf(error.cause) };
  }
  const code = codeOf(error);
  return { errorClass: (code === null ? undefined : CLASS_BY_CODE[code]) ?? "protocol", errorCode: code };
}

function codeOf(error: unknown): string | null {
  const code = (error as { code?: unknown } | null | undefined)?.code;
  return typeof code === "string" ? code : null;
}

/** 2xx alone is success (Standard Webhooks 1.0, "Deliverability and reliability"). */
export function errorOfStatus(httpStatus: number): AttemptErrorClass | null {
  if (httpStatus >= 200 && httpStatus < 300) return null;
  return httpStatus >= 300 && httpStatus < 400 ? "redirect" : "status";
}

/**
 * Reads a `retry-after` header: seconds, or a date (RFC 9110, 10.2.3).
 *
 * @returns milliseconds from `nowMs`, 0 for a date that has passed, `null` for anything else
 */
export function parseRetryAfter(value: string | undefined, nowMs: number): number | null {
  if (value === undefined) return null;
  if (/^\d{1,9}$/.test(value.trim())) return Number(value) * 1_000;
  const date = /[a-z]/i.test(value) ? Date.parse(value) : Number.NaN;
  return Number.isNaN(date) ? null : Math.max(0, date - nowMs);
}
