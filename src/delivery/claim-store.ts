/**
 * Deliveries on their way: claimed, made, and what came of it. Every time here is the database's.
 *
 *   due        its next attempt is at `next_attempt_at`; nobody holds it, or the claim has run out
 *   claimed    still `due`, and somebody's until `claimed_until`; `attempt` went up by one with the claim
 *   delivered  the endpoint answered 2xx
 *   failed     the last attempt of the schedule failed, or the endpoint was deleted
 *   skipped    kept while the endpoint was disabled, and not wanted when it was enabled again
 *
 * A retry or a replay makes `due` again whatever was ended, and begins its schedule anew (`schedule_base`).
 *
 * `attempt` fences: an outcome is taken only from whoever made the last claim, and no number is given out twice,
 * not even after a claim was handed back. So numbers may be missing in the log of attempts, and the place in the
 * retry schedule is counted by the attempts in the log: a daemon that is killed again and again while sending
 * uses up none of a merchant's attempts.
 */
import type { Sql } from "../db/database.ts";
import type { SealedKey } from "./endpoint-secret.ts";
import type { SignatureScheme } from "./signature.ts";

/** A delivery that is ours to attempt until its claim runs out. */
export interface ClaimedDelivery {
  readonly deliveryId: string;
  readonly attempt: number;
  /** Attempts of this run of the schedule that failed and were recorded. */
  readonly failedBefore: number;
  readonly eventId: string;
  readonly eventType: string;
  /** The exact text to send. */
  readonly body: string;
  /** From the event's commit to this claim. */
  readonly eventAgeMs: number;
  readonly endpointId: string;
  readonly merchantId: string;
  readonly url: string;
  /** The endpoint's key, with the one before it during an overlap. */
  readonly keys: readonly SealedKey[];
  /** JSON of the headers that the merchant wants with it. */
  readonly sealedHeaders: Buffer | null;
  /** The endpoint's own schedule; `null`: the config's. */
  readonly scheduleMs: readonly number[] | null;
  /** The endpoint was paused: whether it is well again is not known yet. */
  readonly isProbe: boolean;
}

export interface ClaimRequest {
  /** At most so many in all. */
  readonly limit: number;
  /** At most so many of each endpoint that is not named below. */
  readonly perEndpoint: number;
  /** How many more of an endpoint are wanted, where this process attends to it already. */
  readonly freeByEndpoint: ReadonlyMap<string, number>;
  /** Longer than an attempt may take with the recording of its outcome. */
  readonly leaseMs: number;
  /** Endpoints up to and including this one have had their turn; empty at first. */
  readonly after: string;
}

export interface Claims {
  readonly deliveries: readonly ClaimedDelivery[];
  /** Where the next claim goes on; `null` when every endpoint after `after` had its turn. */
  readonly next: string | null;
  /** Some endpoint gave about all that was asked of it, so it may have more. */
  readonly mayHaveMore: boolean;
}

/** Endpoints looked at by one claim: bounds its time where thousands wait for a retry. */
const WINDOW = 500;

/**
 * How a claim is fair, and quick:
 *
 * scanned  endpoints with due rows, by skipping through the index from one to the next: one probe each,
 *          however many rows an endpoint has
 * ready    those of them with a row to attempt now, enabled, not paused, and with room left in this process; one
 *          attempt at a time of those whose pause is over, until one succeeds
 * looked   and the commit does not wait for the disk: a claim that is lost with the server is a callback that is made again
 * picked   the same share from each, in turn; locked, passing over what others are claiming. One half of it is what is
 *          due longest, the other what became due last: behind a million that wait, what happens now is told now, and
 *          what is old still gets nearer
 */
const TO_ATTEMPT = `d.state = 'due' AND d.next_attempt_at <= now()
          AND (d.claimed_until IS NULL OR d.claimed_until <= now())`;
export const CLAIM = `
  WITH RECURSIVE scanned AS (
    (SELECT endpoint_id, next_attempt_at, 1 AS position FROM deliveries
     WHERE state = 'due' AND endpoint_id > $1 ORDER BY endpoint_id, next_attempt_at LIMIT 1)
    UNION ALL
    SELECT following.endpoint_id, following.next_attempt_at, s.position + 1
    FROM scanned s CROSS JOIN LATERAL (
      SELECT endpoint_id, next_attempt_at FROM deliveries
      WHERE state = 'due' AND endpoint_id > s.endpoint_id ORDER BY endpoint_id, next_attempt_at LIMIT 1
    ) following
    WHERE s.position < ${WINDOW}
  ), ready AS (
    SELECT p.id, p.merchant_id, p.url, p.secret, p.signature, p.headers, p.previous_signature,
      CASE WHEN p.previous_until > now() THEN p.previous_secret END AS previous_secret,
      nullif(p.schedule_ms, '{}') AS schedule_ms, p.paused_until IS NOT NULL AS is_probe,
      CASE WHEN p.paused_until IS NULL THEN coalesce(known.free, $3) ELSE least(coalesce(known.free, $3), 1) END AS free
    FROM scanned s
    JOIN endpoints p ON p.id = s.endpoint_id AND p.status = 'enabled' AND p.deleted_at IS NULL
      AND (p.paused_until IS NULL OR p.paused_until <= now())
    LEFT JOIN unnest($4::text[], $5::integer[]) AS known(id, free) ON known.id = p.id
    WHERE s.next_attempt_at <= now() AND coalesce(known.free, $3) > 0 AND EXISTS (
      SELECT FROM deliveries d WHERE d.endpoint_id = p.id AND ${TO_ATTEMPT}
    )
  ), shares AS (
    SELECT *, least(free, ceil($2::numeric / count(*) OVER ()))::integer AS share FROM ready ORDER BY id
  ), picked AS MATERIALIZED (
    SELECT due.id AS delivery_id, s.* FROM shares s CROSS JOIN LATERAL (
      SELECT oldest.id FROM (
        SELECT d.id FROM deliveries d WHERE d.endpoint_id = s.id AND ${TO_ATTEMPT}
        ORDER BY d.next_attempt_at LIMIT s.share - s.share / 2 FOR NO KEY UPDATE SKIP LOCKED
      ) oldest
      UNION
      SELECT newest.id FROM (
        SELECT d.id FROM deliveries d WHERE d.endpoint_id = s.id AND ${TO_ATTEMPT}
        ORDER BY d.next_attempt_at DESC LIMIT s.share / 2 FOR NO KEY UPDATE SKIP LOCKED
      ) newest
    ) due
    LIMIT $2::integer
  ), claimed AS (
    UPDATE deliveries d
    SET attempt = d.attempt + 1, claimed_until = now() + $6::integer * interval '1 millisecond'
    FROM picked p WHERE d.id = p.delivery_id
    RETURNING d.id AS delivery_id, d.attempt, d.schedule_base, d.event_id, p.id AS endpoint_id, p.merchant_id, p.url,
      p.secret, p.signature, p.previous_secret, p.previous_signature, p.headers, p.schedule_ms, p.is_probe, p.share
  ), looked AS (
    SELECT max(position) AS count, max(endpoint_id) AS last, set_config('synchronous_commit', 'off', true) FROM scanned
  )
  SELECT looked.count AS looked_count, looked.last AS looked_last, c.*, e.type AS event_type, e.body,
    extract(epoch FROM clock_timestamp() - e.created_at)::double precision * 1000 AS event_age_ms,
    CASE WHEN c.attempt = c.schedule_base + 1 THEN 0
         ELSE (SELECT count(*)::integer FROM delivery_attempts a
               WHERE a.delivery_id = c.delivery_id AND a.attempt > c.schedule_base) END AS failed_before
  FROM looked LEFT JOIN (claimed c JOIN events e ON e.id = c.event_id) ON true
  ORDER BY c.endpoint_id, c.delivery_id`;

interface ClaimRow {
  looked_count: number | null;
  looked_last: string | null;
  /** `null`: nothing was claimed, and so for all below. */
  delivery_id: string | null;
  attempt: number;
  event_id: string;
  endpoint_id: string;
  merchant_id: string;
  url: string;
  secret: Buffer;
  signature: SignatureScheme;
  previous_secret: Buffer | null;
  previous_signature: SignatureScheme | null;
  headers: Buffer | null;
  schedule_ms: number[] | null;
  is_probe: boolean;
  /** How many of this endpoint were asked for. */
  share: number;
  event_type: string;
  body: string;
  event_age_ms: number;
  failed_before: number;
}

/**
 * Claims deliveries whose time has come: one statement, its own transaction. Go on with `next` until it is
 * `null`; a round from `after: ""` to `null` that claimed nothing means that nothing is due.
 */
export async function claimDeliveries(sql: Sql, request: ClaimRequest): Promise<Claims> {
  const values = [
    request.after,
    request.limit,
    request.perEndpoint,
    [...request.freeByEndpoint.keys()],
    [...request.freeByEndpoint.values()],
    request.leaseMs,
  ];
  const rows = await sql.query<ClaimRow>(CLAIM, values, "claim deliveries");
  const deliveries = rows.flatMap((row) => (row.delivery_id === null ? [] : [toClaim(row.delivery_id, row)]));
  return { deliveries, next: nextAfter(rows, deliveries, request.limit), mayHaveMore: isAnyShareFull(rows) };
}

function nextAfter(
  rows: readonly ClaimRow[],
  deliveries: readonly ClaimedDelivery[],
  limit: number,
): string | null {
  // Rows come in the endpoints' order, and a full claim left off at the last of them.
  if (deliveries.length >= limit) return deliveries.at(-1)?.endpointId ?? null;
  const [row] = rows;
  return row?.looked_count === WINDOW ? row.looked_last : null;
}

/** Half is full: of deliveries that became due at the same time, both halves of a share may be the same ones. */
function isAnyShareFull(rows: readonly ClaimRow[]): boolean {
  const taken = new Map<string, number>();
  for (const { endpoint_id } of rows) taken.set(endpoint_id, (taken.get(endpoint_id) ?? 0) + 1);
  return rows.some((row) => row.delivery_id !== null && (taken.get(row.endpoint_id) ?? 0) * 2 >= row.share);
}

function toClaim(deliveryId: string, row: ClaimRow): ClaimedDelivery {
  return {
    deliveryId,
    attempt: row.attempt,
    failedBefore: row.failed_before,
    eventId: row.event_id,
    eventType: row.event_type,
    body: row.body,
    eventAgeMs: row.event_age_ms,
    endpointId: row.endpoint_id,
    merchantId: row.merchant_id,
    url: row.url,
    keys: keysOf(row),
    sealedHeaders: row.headers,
    scheduleMs: row.schedule_ms,
    isProbe: row.is_probe,
  };
}

function keysOf(row: ClaimRow): SealedKey[] {
  const { secret, signature, previous_secret, previous_signature } = row;
  const key = { scheme: signature, sealed: secret };
  if (previous_secret === null || previous_signature === null) return [key];
  return [key, { scheme: previous_signature, sealed: previous_secret }];
}

/** A claim that ends without an outcome. */
export interface HandedBackClaim extends Pick<ClaimedDelivery, "deliveryId" | "attempt"> {
  /** How long nobody shall try; 0 hands over to whoever comes next. */
  readonly waitMs: number;
}

/**
 * Hands claims back: to stop, or when this machine could not try. The attempt's number stays used, so that it
 * still fences; the schedule counts recorded attempts only, so the endpoint loses none.
 */
export async function releaseClaims(sql: Sql, claims: readonly HandedBackClaim[]): Promise<void> {
  if (claims.length === 0) return;
  await sql.query(
    `UPDATE deliveries d SET claimed_until = NULL,
       next_attempt_at = greatest(d.next_attempt_at, now() + c.wait_ms * interval '1 millisecond')
     FROM unnest($1::uuid[], $2::integer[], $3::bigint[]) AS c(delivery_id, attempt, wait_ms)
     WHERE d.id = c.delivery_id AND d.attempt = c.attempt AND d.state = 'due'`,
    [
      claims.map((claim) => claim.deliveryId),
      claims.map((claim) => claim.attempt),
      claims.map((claim) => Math.ceil(claim.waitMs)),
    ],
  );
}
