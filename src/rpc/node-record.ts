/** How one node has been doing: what status pages and metrics show, and what decides who is asked first. */
import type { BlockHeader } from "../core/chain.ts";
import type { DepositdError, ErrorCode } from "../core/errors.ts";
import type { Clock } from "../runtime/clock.ts";
import type { Logger } from "../runtime/logger.ts";
import type { RequestLimitStatus } from "./request-limit.ts";

/**
 *   unasked      not asked yet                             → ok, failing, wrong_chain
 *   ok           the last question was answered            → failing, wrong_chain
 *   failing      the last question failed; it rests        → ok, wrong_chain
 *   wrong_chain  another chain answered; it is not used    → ok, failing
 */
export type NodeState = "unasked" | "ok" | "failing" | "wrong_chain";

export interface NodeStatus {
  /** `host:port`, and a number where two nodes share one. */
  readonly name: string;
  readonly state: NodeState;
  /** Its newest block that was believed; `null` before the first time. */
  readonly headNumber: bigint | null;
  /** When it spoke of that block first. */
  readonly headAt: Date | null;
  /** It is the one whose branch is followed. */
  readonly isLeading: boolean;
  /** `internal: trace` asks for traces, and it offered none when it was asked last. */
  readonly lacksTraces: boolean;
  /** Moving average over about the last twenty requests, without their wait for a turn. */
  readonly latencyMs: number | null;
  /** How many requests at once it is asked, and has under way. */
  readonly requests: RequestLimitStatus;
  readonly answerCount: number;
  readonly errorCounts: Readonly<Partial<Record<ErrorCode, number>>>;
  readonly consecutiveErrors: number;
  readonly lastError: { readonly code: ErrorCode; readonly message: string; readonly at: Date } | null;
}

/** What the record itself keeps of it. */
export type RecordedStatus = Omit<NodeStatus, "isLeading" | "lacksTraces" | "requests">;

export interface SeenHead {
  readonly header: BlockHeader;
  /** When it was seen last, by the monotonic clock. */
  readonly seenAt: number;
}

export interface NodeRecord {
  /** One question was answered, of however many requests. */
  onAnswer(): void;
  onLatency(latencyMs: number): void;
  /** @returns the error in a form that may be shown */
  onError(error: DepositdError): void;
  onHead(header: BlockHeader): void;
  head(): SeenHead | null;
  /** True while the node should be asked only after others. */
  isResting(): boolean;
  status(): RecordedStatus;
}

const LATENCY_WEIGHT = 0.1;
const FIRST_REST_MS = 500;
const LONGEST_REST_MS = 60_000;

export function createNodeRecord(name: string, clock: Clock, logger: Logger): NodeRecord {
  let state: NodeState = "unasked";
  let head: SeenHead | null = null;
  let headAt: Date | null = null;
  let latencyMs: number | null = null;
  let answerCount = 0;
  const errorCounts: Partial<Record<ErrorCode, number>> = {};
  let consecutiveErrors = 0;
  let lastError: NodeStatus["lastError"] = null;
  let restsUntil = 0;

  return {
    onAnswer: () => {
      if (state === "failing" || state === "wrong_chain") logger.info("Node answers again", { node: name });
      state = "ok";
      answerCount += 1;
      consecutiveErrors = 0;
      restsUntil = 0;
    },
    onLatency: (ms) => {
      latencyMs = latencyMs === null ? ms : latencyMs + LATENCY_WEIGHT * (ms - latencyMs);
    },
    onError: (error) => {
      const next: NodeState = error.code === "wrong_chain" ? "wrong_chain" : "failing";
      if (state !== next) logChange(logger, name, next, error);
      state = next;
      errorCounts[error.code] = (errorCounts[error.code] ?? 0) + 1;
      consecutiveErrors += 1;
      lastError = { code: error.code, message: error.message, at: new Date(clock.now()) };
      restsUntil = clock.monotonic() + restMs(error, consecutiveErrors);
    },
    onHead: (header) => {
      if (head?.header.hash !== header.hash) headAt = new Date(clock.now());
      head = { header, seenAt: clock.monotonic() };
    },
    head: () => head,
    isResting: () => clock.monotonic() < restsUntil,
    status: () => ({
      name,
      state,
      headNumber: head?.header.number ?? null,
      headAt,
      latencyMs,
      answerCount,
      errorCounts: { ...errorCounts },
      consecutiveErrors,
      lastError,
    }),
  };
}

/** Only changes are logged: a node that is down for a day is one line, and one when it is back. */
function logChange(logger: Logger, node: string, next: NodeState, error: DepositdError): void {
  const fields = { node, code: error.code, reason: error.message };
  if (next === "wrong_chain") logger.error("Refused a node of another chain", fields);
  else logger.warn("Node failed", fields);
}

/** 0.5, 1, 2, 4, … 60 s, or as long as the node asked for. */
function restMs(error: DepositdError, consecutiveErrors: number): number {
  const asked = error.facts["retryAfterSeconds"];
  const backOff = Math.min(LONGEST_REST_MS, FIRST_REST_MS * 2 ** (consecutiveErrors - 1));
  return typeof asked === "number" ? Math.min(LONGEST_REST_MS, Math.max(asked * 1000, backOff)) : backOff;
}
