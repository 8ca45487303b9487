/** One attempt of one claimed delivery, and its line in the log. */
import { coerceError, DepositdError } from "../core/errors.ts";
import type { Clock } from "../runtime/clock.ts";
import type { Logger } from "../runtime/logger.ts";
import { type AttemptOutcome, NO_PHASES, SECRET_KEY_WRONG } from "./attempt-outcome.ts";
import { callbackRequest, type RequestOpeners } from "./callback-request.ts";
import type { ClaimedDelivery } from "./claim-store.ts";
import type { CallbackRequest, Egress } from "./egress.ts";
import type { OnOutcome } from "./http-attempt.ts";
import { publicDeliveryId, publicEventId } from "./public-id.ts";
import type { Decision } from "./retry-schedule.ts";

/** Never throws: whatever happens is an outcome, which may be told before this returns. */
export function attemptDelivery(
  parts: {
    readonly egress: Egress;
    readonly openers: RequestOpeners;
    readonly clock: Clock;
    readonly logger: Logger;
  },
  claim: ClaimedDelivery,
  timeoutMs: number,
  onOutcome: OnOutcome,
): void {
  let request: CallbackRequest;
  try {
    request = callbackRequest(claim, parts.openers, parts.clock.now(), timeoutMs);
  } catch (rawError) {
    onOutcome(notTried(parts.logger, claim, coerceError(rawError)));
    return;
  }
  parts.egress.begin(request, onOutcome);
}

/** We cannot sign with what we have. That is ours to mend, and uses none of the endpoint's attempts. */
function notTried(logger: Logger, claim: ClaimedDelivery, error: Error): AttemptOutcome {
  // Of secrets that cannot be opened there is one line for all of them: see watch-secrets.
  if (!(error instanceof DepositdError && error.code === SECRET_KEY_WRONG))
    logger.error("Failed to sign a callback", { error, endpoint_id: claim.endpointId });
  return {
    httpStatus: null,
    error: "local",
    errorCode: error instanceof DepositdError ? error.code : null,
    durationMs: 0,
    phases: NO_PHASES,
    responseBody: null,
    retryAfterMs: null,
  };
}

/**
 * Everything about an attempt in one line, but for secret, path and query: a token may be in those. What never got as
 * far as the endpoint, for the proxy or the secret key, is told once for all of them, and here to a debug log only.
 */
export function logAttempt(
  logger: Logger,
  claim: ClaimedDelivery,
  outcome: AttemptOutcome,
  follows: {
    readonly decision: Decision;
    readonly disablesEndpoint: boolean;
    readonly pauseMs: number | null;
  },
): void {
  const { decision, disablesEndpoint, pauseMs } = follows;
  const level = levelOf(outcome, decision, disablesEndpoint);
  if (!logger.writes(level)) return;
  logger[level]("Attempted delivery", {
    delivery_id: publicDeliveryId(claim.deliveryId),
    event_id: publicEventId(claim.eventId),
    event_type: claim.eventType,
    merchant_id: claim.merchantId,
    endpoint_id: claim.endpointId,
    host: hostOf(claim.url),
    attempt: claim.failedBefore + 1,
    claim: claim.attempt,
    http_status: outcome.httpStatus,
    error_class: outcome.error,
    error_code: outcome.errorCode,
    duration_ms: outcome.durationMs,
    dns_ms: outcome.phases.dnsMs,
    connect_ms: outcome.phases.connectMs,
    tls_ms: outcome.phases.tlsMs,
    first_byte_ms: outcome.phases.firstByteMs,
    decision: decision.next,
    next_attempt_in_ms: "waitMs" in decision ? decision.waitMs : null,
    pauses_endpoint_ms: pauseMs,
    disables_endpoint: disablesEndpoint,
  });
}

function levelOf(outcome: AttemptOutcome, decision: Decision, disablesEndpoint: boolean) {
  if (decision.next === "failed" || disablesEndpoint) return "warn";
  return outcome.error === "proxy" || outcome.errorCode === SECRET_KEY_WRONG ? "debug" : "info";
}

const hosts = new Map<string, string | null>();
const MAX_HOSTS = 1_000;

/** Remembered: an endpoint has many deliveries. */
function hostOf(url: string): string | null {
  const known = hosts.get(url);
  if (known !== undefined) return known;
  const host = URL.canParse(url) ? new URL(url).host : null;
  if (hosts.size >= MAX_HOSTS) hosts.clear();
  hosts.set(url, host);
  return host;
}
