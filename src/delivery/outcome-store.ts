/** What came of attempts, many at a time. The states of a delivery, and what fences them: see claim-store. */
import type { Sql } from "../db/database.ts";
import type { AttemptOutcome } from "./attempt-outcome.ts";
import { FAILING_APART_MS, FAILURES_TO_PAUSE, FIRST_PAUSE_MS, LONGEST_PAUSE_MS } from "./breaker.ts";
import type { ClaimedDelivery } from "./claim-store.ts";
import type { Decision } from "./retry-schedule.ts";

/** What came of one attempt, and what follows from it. */
export interface RecordedAttempt {
  readonly claim: Pick<ClaimedDelivery, "deliveryId" | "attempt" | "url">;
  readonly outcome: AttemptOutcome;
  readonly decision: Exclude<Decision, { next: "postpone" }>;
  readonly disablesEndpoint: boolean;
  /** How long this outcome alone pauses the endpoint; `null`: not at all. */
  readonly pauseMs: number | null;
  /** How long ago the attempt began. */
  readonly startedMsAgo: number;
}

export interface RecordPolicy {
  /** An endpoint whose attempts failed for so long, without one that succeeded, is disabled. */
  readonly disableAfterMs: number;
  /** In [0, 1), evenly spread: jitter of pauses. */
  readonly fraction: number;
}

export interface RecordResult {
  /** Deliveries whose outcome was taken; the others had been claimed anew, or were ended, meanwhile. */
  readonly deliveryIds: ReadonlySet<string>;
  readonly disabled: readonly DisabledEndpoint[];
  /** Endpoints that are to be left alone now. */
  readonly pausedEndpointIds: readonly string[];
}

export interface DisabledEndpoint {
  readonly id: string;
  readonly merchantId: string;
  readonly url: string;
  /** It answered 410, or failed for too long. */
  readonly reason: "gone" | "failing";
  readonly failingSince: Date | null;
  readonly at: Date;
}

/**
 * outcome  columns of which nothing is known are empty arrays, which `unnest` fills up
 * setting  the commit does not wait for the disk: an outcome that is lost with the server, its notices with it, is a
 *          callback that is made again under the same id
 * found    where they are due, each fenced by its attempt's number: looked up one by one, whatever the planner thought of
 *          the table when it kept this plan. Who was claimed anew meanwhile is not at that place any more
 * ended    due no more; what became of them is written to `deliveries` (`finished`), in whose indexes it changes nothing
 * put_off  due again later
 * moved    both: the outcomes that are taken; and logged
 * told     what they say of each endpoint; not of the URL that it had before
 * locked   the endpoints for which that changes anything, in the order of their ids, so that no two recorders can wait
 *          for each other; none as long as all is well
 */
const OPENS = "p.failures + j.failed >= $19 AND coalesce(p.paused_until <= now(), true)";
const FAILS_TOO_LONG = "j.failing_since < now() - $23::bigint * interval '1 millisecond'";
const RECORD = `
  WITH outcome AS (
    SELECT o.delivery_id, o.attempt, coalesce(o.state, 'delivered') AS state, o.wait_ms, coalesce(o.gone, false) AS gone,
      o.url_number, o.started_ms_ago, o.duration_ms, o.http_status, o.error, o.error_code,
      CASE WHEN o.http_status IS NULL THEN NULL ELSE coalesce(o.response_body, '') END AS response_body,
      o.dns_ms, o.connect_ms, o.tls_ms, o.first_byte_ms, o.pause_ms
    FROM unnest($1::uuid[], $2::integer[], $3::text[], $4::bigint[], $5::boolean[], $6::integer[],
        $7::integer[], $8::integer[], $9::smallint[], $10::text[], $11::text[], $12::text[],
        $13::integer[], $14::integer[], $15::integer[], $16::integer[], $17::integer[])
      AS o(delivery_id, attempt, state, wait_ms, gone, url_number, started_ms_ago, duration_ms, http_status, error,
        error_code, response_body, dns_ms, connect_ms, tls_ms, first_byte_ms, pause_ms)
  ), setting AS MATERIALIZED (
    SELECT set_config('synchronous_commit', 'off', true)
  ), found AS MATERIALIZED (
    SELECT due.place, due.endpoint_id, o.* FROM setting, outcome o CROSS JOIN LATERAL (
      SELECT d.ctid AS place, d.endpoint_id FROM due_deliveries d
      WHERE d.delivery_id = o.delivery_id AND d.attempt = o.attempt OFFSET 0
    ) due
  ), ended AS (
    DELETE FROM due_deliveries d USING found f WHERE d.ctid = f.place AND f.state <> 'due'
    RETURNING f.*
  ), put_off AS (
    UPDATE due_deliveries d SET claimed_until = NULL, next_attempt_at = now() + f.wait_ms * interval '1 millisecond'
    FROM found f WHERE d.ctid = f.place AND f.state = 'due'
    RETURNING f.*
  ), finished AS (
    UPDATE deliveries d SET state = e.state, attempt = e.attempt, finished_at = now()
    FROM ended e WHERE d.endpoint_id = e.endpoint_id AND d.id = e.delivery_id
  ), moved AS NOT MATERIALIZED (
    SELECT * FROM ended UNION ALL SELECT * FROM put_off
  ), logged AS (
    INSERT INTO delivery_attempts (delivery_id, attempt, started_at, duration_ms, http_status, error, error_code,
      response_body, dns_ms, connect_ms, tls_ms, first_byte_ms)
    SELECT delivery_id, attempt, now() - started_ms_ago * interval '1 millisecond', duration_ms, http_status, error,
      error_code, response_body, dns_ms, connect_ms, tls_ms, first_byte_ms
    FROM moved
  ), told AS (
    SELECT t.* FROM (
      SELECT endpoint_id, url_number, bool_or(state = 'delivered') AS ok,
        count(*) FILTER (WHERE state <> 'delivered') AS failed, bool_or(gone) AS gone, max(pause_ms) AS pause_ms
      FROM moved GROUP BY endpoint_id, url_number
    ) t JOIN endpoints p ON p.id = t.endpoint_id AND p.url = ($24::text[])[t.url_number]
  ), locked AS MATERIALIZED (
    SELECT p.id FROM endpoints p JOIN told t ON t.endpoint_id = p.id
    WHERE p.status = 'enabled' AND (t.failed > 0 OR p.failing_since IS NOT NULL OR p.paused_until IS NOT NULL)
    ORDER BY p.id FOR NO KEY UPDATE OF p
  ), judged AS (
    SELECT p.id, t.*, CASE WHEN t.ok THEN NULL
      WHEN p.last_failed_at < now() - $18::bigint * interval '1 millisecond' THEN now()
      ELSE coalesce(p.failing_since, now()) END AS failing_since
    FROM locked l JOIN endpoints p USING (id) JOIN told t ON t.endpoint_id = p.id
  ), marked AS (
    UPDATE endpoints p SET
      failures = CASE WHEN j.ok THEN 0 ELSE p.failures + j.failed END,
      failing_since = j.failing_since,
      last_failed_at = CASE WHEN j.ok THEN NULL ELSE now() END,
      pauses = CASE WHEN j.ok THEN 0 WHEN ${OPENS} THEN p.pauses + 1 ELSE p.pauses END,
      paused_until = CASE
        WHEN j.pause_ms IS NOT NULL THEN greatest(p.paused_until, now() + j.pause_ms * interval '1 millisecond')
        WHEN j.ok THEN NULL
        WHEN ${OPENS} THEN now() + least($20::integer, $21::integer * 2 ^ least(p.pauses, 10)) * (0.8 + 0.4 * $22::double precision) * interval '1 millisecond'
        ELSE p.paused_until END,
      status = CASE WHEN j.gone OR ${FAILS_TOO_LONG} THEN 'disabled' ELSE p.status END,
      disabled_reason = CASE WHEN j.gone THEN 'gone' WHEN ${FAILS_TOO_LONG} THEN 'failing' END
    FROM judged j WHERE p.id = j.id
    RETURNING p.id, p.merchant_id, p.url, p.status, p.disabled_reason, p.failing_since,
      p.paused_until > now() AS is_paused, now() AS at
  )
  SELECT delivery_id, NULL AS id, NULL AS merchant_id, NULL AS url, NULL AS disabled_reason,
    NULL::timestamptz AS failing_since, NULL::boolean AS is_paused, NULL::timestamptz AS at FROM moved
  UNION ALL
  SELECT NULL, id, merchant_id, url, disabled_reason, failing_since, is_paused, at FROM marked`;

interface RecordRow {
  delivery_id: string | null;
  /** Of an endpoint for which something changed. */
  id: string | null;
  merchant_id: string;
  url: string;
  disabled_reason: "gone" | "failing" | null;
  failing_since: Date | null;
  is_paused: boolean | null;
  at: Date;
}

/**
 * Takes the outcomes of many attempts in one statement, each with its line in the log of attempts, and keeps each
 * endpoint's breaker. Run it in a transaction with the notice of what it disabled.
 */
export async function recordOutcomes(
  sql: Sql,
  attempts: readonly RecordedAttempt[],
  policy: RecordPolicy,
): Promise<RecordResult> {
  const urls = numberUrls(attempts);
  const values = [
    ...columnsOf(attempts, urls.numbers),
    FAILING_APART_MS,
    FAILURES_TO_PAUSE,
    LONGEST_PAUSE_MS,
    FIRST_PAUSE_MS,
    policy.fraction,
    policy.disableAfterMs,
    urls.all,
  ];
  const rows = await sql.query<RecordRow>(RECORD, values, "record outcomes");
  return {
    deliveryIds: new Set(rows.flatMap((row) => row.delivery_id ?? [])),
    disabled: rows.flatMap(toDisabled),
    pausedEndpointIds: rows.flatMap(({ id, is_paused }) => (id !== null && is_paused === true ? [id] : [])),
  };
}

function toDisabled(row: RecordRow): DisabledEndpoint[] {
  const { id, merchant_id: merchantId, url, disabled_reason: reason, failing_since: failingSince, at } = row;
  return id === null || reason === null ? [] : [{ id, merchantId, url, reason, failingSince, at }];
}

/** A batch is for few endpoints: each of their URLs is sent once. */
function numberUrls(attempts: readonly RecordedAttempt[]): { all: string[]; numbers: number[] } {
  const numberOf = new Map<string, number>();
  const numbers = attempts.map(({ claim: { url } }) => {
    const known = numberOf.get(url) ?? numberOf.size + 1;
    numberOf.set(url, known);
    return known;
  });
  return { all: [...numberOf.keys()], numbers };
}

const STATE_BY_DECISION = { delivered: null, retry: "due", failed: "failed" } as const;

function columnsOf(attempts: readonly RecordedAttempt[], urlNumbers: readonly number[]): unknown[] {
  return [
    arrayOf(attempts.map(({ claim }) => claim.deliveryId)),
    arrayOf(attempts.map(({ claim }) => claim.attempt)),
    arrayOf(attempts.map(({ decision }) => STATE_BY_DECISION[decision.next])),
    arrayOf(attempts.map(({ decision }) => (decision.next === "retry" ? Math.ceil(decision.waitMs) : null))),
    arrayOf(attempts.map(({ disablesEndpoint }) => disablesEndpoint || null)),
    arrayOf(urlNumbers),
    arrayOf(attempts.map(({ startedMsAgo }) => Math.round(startedMsAgo))),
    arrayOf(attempts.map(({ outcome }) => outcome.durationMs)),
    arrayOf(attempts.map(({ outcome }) => outcome.httpStatus)),
    arrayOf(attempts.map(({ outcome }) => outcome.error)),
    textsOf(attempts.map(({ outcome }) => outcome.errorCode)),
    textsOf(attempts.map(({ outcome }) => outcome.responseBody || null)),
    arrayOf(attempts.map(({ outcome }) => outcome.phases.dnsMs)),
    arrayOf(attempts.map(({ outcome }) => outcome.phases.connectMs)),
    arrayOf(attempts.map(({ outcome }) => outcome.phases.tlsMs)),
    arrayOf(attempts.map(({ outcome }) => outcome.phases.firstByteMs)),
    arrayOf(attempts.map(({ pauseMs }) => (pauseMs === null ? null : Math.ceil(pauseMs)))),
  ];
}

/**
 * An array as PostgreSQL reads it, of numbers and of our own words, which need no quotes. The driver would quote each of
 * them and look into it for what must be escaped, at ten times the cost.
 */
function arrayOf(values: readonly (number | boolean | string | null)[]): string {
  return values.every((value) => value === null)
    ? "{}"
    : `{${values.map((value) => value ?? "NULL").join(",")}}`;
}

/** For texts that come from elsewhere. */
function textsOf(values: readonly (string | null)[]): readonly (string | null)[] {
  return values.every((value) => value === null) ? [] : values;
}
