/**
 * Deliveries on their way: claimed, made, and what came of it. Every time here is the database's.
 *
 * What is due has a row in `due_deliveries` as long as it is, and is claimed and put off there. The row in `deliveries`,
 * which stays, is written when a delivery ends and when it is sent again.
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
 *          however many rows an endpoint has. Later looks begin at its first row: what ended before it is still in the
 *          index until a vacuum, and walked over once
 * ready    those of them with a row to attempt now, enabled, not paused, and with room left in this process; one
 *          attempt at a time of those whose pause is over, until one succeeds
 * looked   and the commit does not wait for the disk: a claim that is lost with the server is a callback that is made again
 * picked   the same share from each, in turn, by its row's place; locked, passing over what others are claiming. One half
 *          of it is what is due longest, the other what became due last: behind a million that wait, what happens now is
 *          told now, and what is old still gets nearer
 */
const TO_ATTEMPT = `d.next_attempt_at BETWEEN s.first_due AND now() AND (d.claimed_until IS NULL OR d.claimed_until <= now())`;
export const CLAIM = `
  WITH RECURSIVE scanned AS (
    (SELECT endpoint_id, next_attempt_at AS first_due, 1 AS position FROM due_deliveries
     WHERE endpoint_id > $1 ORDER BY endpoint_id, next_attempt_at LIMIT 1)
    UNION ALL
    SELECT following.endpoint_id, following.first_due, s.position + 1
    FROM scanned s CROSS JOIN LATERAL (
      SELECT endpoint_id, next_attempt_at AS first_due FROM due_deliveries
      WHERE endpoint_id > s.endpoint_id ORDER BY endpoint_id, next_attempt_at LIMIT 1
    ) following
    WHERE s.position < ${WINDOW}
  ), ready AS (
    SELECT p.id, s.first_due, p.merchant_id, p.url, p.secret, p.signature, p.headers, p.previous_signature,
      CASE WHEN p.previous_until > now() THEN p.previous_secret END AS previous_secret,
      nullif(p.schedule_ms, '{}') AS schedule_ms, p.paused_until IS NOT NULL AS is_probe,
      CASE WHEN p.paused_until IS NULL THEN coalesce(known.free, $3) ELSE least(coalesce(known.free, $3), 1) END AS free
    FROM scanned s
    JOIN endpoints p ON p.id = s.endpoint_id AND p.status = 'enabled' AND p.deleted_at IS NULL
      AND (p.paused_until IS NULL OR p.paused_until <= now())
    LEFT JOIN unnest($4::text[], $5::integer[]) AS known(id, free) ON known.id = p.id
    WHERE s.first_due <= now() AND coalesce(known.free, $3) > 0 AND EXISTS (
      SELECT FROM due_deliveries d WHERE d.endpoint_id = p.id AND ${TO_ATTEMPT}
    )
  ), shares AS (
    SELECT *, least(free, ceil($2::numeric / count(*) OVER ()))::integer AS share FROM ready ORDER BY id
  ), picked AS MATERIALIZED (
    SELECT due.place FROM shares s CROSS JOIN LATERAL (
      SELECT oldest.place FROM (
        SELECT d.ctid AS place FROM due_deliveries d WHERE d.endpoint_id = s.id AND ${TO_ATTEMPT}
        ORDER BY d.next_attempt_at LIMIT s.share - s.share / 2 FOR NO KEY UPDATE SKIP LOCKED
      ) oldest
      UNION
      SELECT newest.place FROM (
        SELECT d.ctid AS place FROM due_deliveries d WHERE d.endpoint_id = s.id AND ${TO_ATTEMPT}
        ORDER BY d.next_attempt_at DESC LIMIT s.share / 2 FOR NO KEY UPDATE SKIP LOCKED
      ) newest
    ) due
    LIMIT $2::integer
  ), claimed AS (
    UPDATE due_deliveries d
    SET attempt = d.attempt + 1, claimed_until = now() + $6::integer * interval '1 millisecond'
    WHERE d.ctid = ANY (ARRAY(SELECT place FROM picked))
    RETURNING d.delivery_id, d.attempt, d.schedule_base, d.event_id, d.endpoint_id
  ), looked AS (
    SELECT json_build_object('count', max(position), 'last', max(endpoint_id), 'ready', (
      SELECT json_agg(json_build_object('id', id, 'merchantId', merchant_id, 'url', url, 'share', share,
        'secret', encode(secret, 'base64'), 'signature', signature, 'previousSecret', encode(previous_secret, 'base64'),
        'previousSignature', previous_signature, 'headers', encode(headers, 'base64'), 'scheduleMs', schedule_ms,
        'isProbe', is_probe)) FROM shares
    )) AS looked, set_config('synchronous_commit', 'off', true) FROM scanned
  )
  SELECT looked, NULL::uuid AS delivery_id, NULL::integer AS attempt, NULL::uuid AS event_id, NULL::text AS endpoint_id,
    NULL::text AS event_type, NULL::text AS body, NULL::double precision AS event_age_ms, NULL::integer AS failed_before
  FROM looked
  UNION ALL (
    SELECT NULL, c.delivery_id, c.attempt, c.event_id, c.endpoint_id, e.type, e.body,
      date_part('epoch', clock_timestamp() - e.created_at) * 1000,
      CASE WHEN c.attempt = c.schedule_base + 1 THEN 0
           ELSE (SELECT count(*)::integer FROM delivery_attempts a
                 WHERE a.delivery_id = c.delivery_id AND a.attempt > c.schedule_base) END
    FROM claimed c JOIN events e ON e.id = c.event_id
  )`;

/** What was looked at comes first, then the deliveries: so what is an endpoint's is read once. */
type ClaimRow = { delivery_id: null; looked: Looked } | DeliveryRow;

interface Looked {
  readonly count: number | null;
  readonly last: string | null;
  readonly ready: readonly ReadyEndpoint[] | null;
}

interface ReadyEndpoint {
  readonly id: string;
  readonly merchantId: string;
  readonly url: string;
  /** How many of it were asked for. */
  readonly share: number;
  /** Base64, as the other sealed ones. */
  readonly secret: string;
  readonly signature: SignatureScheme;
  readonly previousSecret: string | null;
  readonly previousSignature: SignatureScheme | null;
  readonly headers: string | null;
  readonly scheduleMs: number[] | null;
  readonly isProbe: boolean;
}

interface DeliveryRow {
  delivery_id: string;
  attempt: number;
  event_id: string;
  endpoint_id: string;
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
  const claims: ClaimedDelivery[] = [];
  const endpoints = new Map<string, ClaimedEndpoint>();
  let looked: Looked = { count: null, last: null, ready: null };
  for (const row of rows) {
    if (row.delivery_id === null) {
      looked = row.looked;
      for (const each of looked.ready ?? []) endpoints.set(each.id, readEndpoint(each));
    } else {
      const endpoint = endpoints.get(row.endpoint_id);
      if (endpoint !== undefined) claims.push(toClaim(row, endpoint));
    }
  }
  // An endpoint's in the order of their events, as far as they were claimed together; not sorted with their bodies.
  claims.sort((a, b) => (a.deliveryId < b.deliveryId ? -1 : 1));
  return {
    deliveries: claims,
    next: nextAfter(looked, claims, request.limit),
    mayHaveMore: isAnyShareFull(looked.ready ?? [], claims),
  };
}

function nextAfter(looked: Looked, claims: readonly ClaimedDelivery[], limit: number): string | null {
  const turns = looked.ready?.map(({ id }) => id) ?? [];
  const had = new Set(claims.map(({ endpointId }) => endpointId));
  const last = turns.findLastIndex((id) => had.has(id));
  // A full claim left off at the last endpoint that it took from.
  if (claims.length >= limit && last < turns.length - 1) return turns[last] ?? null;
  return looked.count === WINDOW ? looked.last : null;
}

/** Half is full: of deliveries that became due at the same time, both halves of a share may be the same ones. */
function isAnyShareFull(ready: readonly ReadyEndpoint[], claims: readonly ClaimedDelivery[]): boolean {
  const taken = new Map<string, number>();
  for (const { endpointId } of claims) taken.set(endpointId, (taken.get(endpointId) ?? 0) + 1);
  return ready.some(({ id, share }) => (taken.get(id) ?? 0) * 2 >= Math.max(1, share));
}

type ClaimedEndpoint = Pick<
  ClaimedDelivery,
  "endpointId" | "merchantId" | "url" | "keys" | "sealedHeaders" | "scheduleMs" | "isProbe"
>;

function readEndpoint(ready: ReadyEndpoint): ClaimedEndpoint {
  return {
    endpointId: ready.id,
    merchantId: ready.merchantId,
    url: ready.url,
    keys: keysOf(ready),
    sealedHeaders: ready.headers === null ? null : Buffer.from(ready.headers, "base64"),
    scheduleMs: ready.scheduleMs,
    isProbe: ready.isProbe,
  };
}

/** Field by field: this is done thousands of times a second, and spreading an object costs ten times as much. */
function toClaim(row: DeliveryRow, endpoint: ClaimedEndpoint): ClaimedDelivery {
  return {
    deliveryId: row.delivery_id,
    attempt: row.attempt,
    failedBefore: row.failed_before,
    eventId: row.event_id,
    eventType: row.event_type,
    body: row.body,
    eventAgeMs: row.event_age_ms,
    endpointId: endpoint.endpointId,
    merchantId: endpoint.merchantId,
    url: endpoint.url,
    keys: endpoint.keys,
    sealedHeaders: endpoint.sealedHeaders,
    scheduleMs: endpoint.scheduleMs,
    isProbe: endpoint.isProbe,
  };
}

function keysOf({ secret, signature, previousSecret, previousSignature }: ReadyEndpoint): SealedKey[] {
  const key = { scheme: signature, sealed: Buffer.from(secret, "base64") };
  if (previousSecret === null || previousSignature === null) return [key];
  return [key, { scheme: previousSignature, sealed: Buffer.from(previousSecret, "base64") }];
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
    `UPDATE due_deliveries d SET claimed_until = NULL,
       next_attempt_at = greatest(d.next_attempt_at, now() + c.wait_ms * interval '1 millisecond')
     FROM unnest($1::uuid[], $2::integer[], $3::bigint[]) AS c(delivery_id, attempt, wait_ms)
     WHERE d.delivery_id = c.delivery_id AND d.attempt = c.attempt`,
    [
      claims.map((claim) => claim.deliveryId),
      claims.map((claim) => claim.attempt),
      claims.map((claim) => Math.ceil(claim.waitMs)),
    ],
  );
}
