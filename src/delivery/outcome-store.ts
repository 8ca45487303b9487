/** What came of attempts, many at a time. The states of a delivery, and what fences them: see claim-store. */
import type { Sql } from "../db/database.ts";
import type { AttemptOutcome } from "./attempt-outcome.ts";
import type { ClaimedDelivery } from "./claim-store.ts";
import type { Decision } from "./retry-schedule.ts";

/** What came of one attempt, and what follows from it. */
export interface RecordedAttempt {
  readonly claim: Pick<ClaimedDelivery, "deliveryId" | "attempt" | "url">;
  readonly outcome: AttemptOutcome;
  readonly decision: Exclude<Decision, { next: "postpone" }>;
  readonly disablesEndpoint: boolean;
  /** How long ago the attempt began. */
  readonly startedMsAgo: number;
}

export interface RecordResult {
  /** Deliveries whose outcome was taken; the others had been claimed anew, or were ended, meanwhile. */
  readonly deliveryIds: ReadonlySet<string>;
  readonly disabledEndpointIds: readonly string[];
}

/**
 * [tx] Takes the outcomes of many attempts in one statement: each fenced by its attempt's number, with its line in
 * the log of attempts; an endpoint that is gone is disabled with them, unless its URL was changed meanwhile.
 */
export async function recordOutcomes(sql: Sql, attempts: readonly RecordedAttempt[]): Promise<RecordResult> {
  const rows = await sql.query<{ delivery_id: string | null; disabled_id: string | null }>(
    `WITH outcome AS (
       SELECT * FROM unnest($1::uuid[], $2::integer[], $3::text[], $4::bigint[], $5::boolean[], $6::text[],
           $7::integer[], $8::integer[], $9::smallint[], $10::text[], $11::text[], $12::text[],
           $13::integer[], $14::integer[], $15::integer[], $16::integer[])
         AS o(delivery_id, attempt, state, wait_ms, gone, url, started_ms_ago, duration_ms, http_status, error, error_code,
           response_body, dns_ms, connect_ms, tls_ms, first_byte_ms)
     ), moved AS (
       UPDATE deliveries d SET
         state = o.state,
         claimed_until = NULL,
         next_attempt_at = CASE o.state WHEN 'due' THEN now() + o.wait_ms * interval '1 millisecond' ELSE d.next_attempt_at END,
         finished_at = CASE o.state WHEN 'due' THEN NULL ELSE now() END
       FROM outcome o
       WHERE d.id = o.delivery_id AND d.attempt = o.attempt AND d.state = 'due'
       RETURNING d.endpoint_id, o.*
     ), logged AS (
       INSERT INTO delivery_attempts (delivery_id, attempt, started_at, duration_ms, http_status, error, error_code,
         response_body, dns_ms, connect_ms, tls_ms, first_byte_ms)
       SELECT delivery_id, attempt, now() - started_ms_ago * interval '1 millisecond', duration_ms, http_status, error, error_code,
         response_body, dns_ms, connect_ms, tls_ms, first_byte_ms
       FROM moved
     ), disabled AS (
       UPDATE endpoints p SET status = 'disabled', disabled_reason = 'gone'
       WHERE p.status = 'enabled' AND EXISTS (SELECT FROM moved m WHERE m.gone AND m.endpoint_id = p.id AND m.url = p.url)
       RETURNING p.id
     )
     SELECT delivery_id, NULL AS disabled_id FROM moved UNION ALL SELECT NULL, id FROM disabled`,
    columnsOf(attempts),
  );
  return {
    deliveryIds: new Set(rows.flatMap((row) => row.delivery_id ?? [])),
    disabledEndpointIds: rows.flatMap((row) => row.disabled_id ?? []),
  };
}

const STATE_BY_DECISION = { delivered: "delivered", retry: "due", failed: "failed" } as const;

function columnsOf(attempts: readonly RecordedAttempt[]): unknown[][] {
  return [
    attempts.map(({ claim }) => claim.deliveryId),
    attempts.map(({ claim }) => claim.attempt),
    attempts.map(({ decision }) => STATE_BY_DECISION[decision.next]),
    attempts.map(({ decision }) => (decision.next === "retry" ? Math.ceil(decision.waitMs) : 0)),
    attempts.map(({ disablesEndpoint }) => disablesEndpoint),
    attempts.map(({ claim }) => claim.url),
    attempts.map(({ startedMsAgo }) => Math.round(startedMsAgo)),
    attempts.map(({ outcome }) => outcome.durationMs),
    attempts.map(({ outcome }) => outcome.httpStatus),
    attempts.map(({ outcome }) => outcome.error),
    attempts.map(({ outcome }) => outcome.errorCode),
    attempts.map(({ outcome }) => outcome.responseBody),
    attempts.map(({ outcome }) => outcome.phases.dnsMs),
    attempts.map(({ outcome }) => outcome.phases.connectMs),
    attempts.map(({ outcome }) => outcome.phases.tlsMs),
    attempts.map(({ outcome }) => outcome.phases.firstByteMs),
  ];
}
