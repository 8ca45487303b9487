/** Deliveries as people look at them: lists, one with its attempts, and how much is left to do. */
import { InputError } from "../core/errors.ts";
import type { Sql } from "../db/database.ts";

export const DELIVERY_STATES = ["due", "delivered", "failed", "skipped"] as const;
export type DeliveryState = (typeof DELIVERY_STATES)[number];

/** Ids are the rows' own: `public-id.ts` has the words for outside. */
export interface Delivery {
  readonly id: string;
  readonly eventId: string;
  readonly eventType: string;
  readonly depositId: string | null;
  readonly orderId: string | null;
  readonly endpointId: string;
  readonly state: DeliveryState;
  readonly createdAt: Date;
  /** `null` when there will be none. */
  readonly nextAttemptAt: Date | null;
  readonly finishedAt: Date | null;
}

/** One attempt whose outcome was recorded. */
export interface DeliveryAttempt {
  /** 1, 2, 3, …: the recorded ones, without gaps. */
  readonly attempt: number;
  readonly startedAt: Date;
  readonly durationMs: number;
  /** `null`, as for the next three: not reached, or not needed on a connection that was kept. */
  readonly dnsMs: number | null;
  readonly connectMs: number | null;
  readonly tlsMs: number | null;
  readonly firstByteMs: number | null;
  readonly httpStatus: number | null;
  readonly error: string | null;
  readonly errorCode: string | null;
  readonly responseBody: string | null;
}

interface DeliveryRow {
  id: string;
  event_id: string;
  type: string;
  deposit_id: string | null;
  order_id: string | null;
  endpoint_id: string;
  state: DeliveryState;
  created_at: Date;
  next_attempt_at: Date | null;
  finished_at: Date | null;
}

const COLUMNS = `d.id, d.event_id, e.type, e.deposit_id, e.order_id, d.endpoint_id, d.state, d.created_at, d.finished_at,
  (SELECT next_attempt_at FROM due_deliveries WHERE delivery_id = d.id) AS next_attempt_at`;

const newest = (table: string, id: string, condition = "true") => `
  SELECT ${id} AS id FROM ${table} WHERE endpoint_id = p.id AND ${condition} AND ($3::uuid IS NULL OR ${id} < $3)
  ORDER BY ${id} DESC LIMIT $4`;

/** A page of an endpoint's, found where few are not looked for among many. */
const PAGE_BY_STATE: Readonly<Record<DeliveryState | "all", string>> = {
  all: newest("deliveries", "id"),
  due: newest("due_deliveries", "delivery_id"),
  delivered: newest("deliveries", "id", "state = 'delivered'"),
  failed: newest("deliveries", "id", "is_undelivered AND state = 'failed'"),
  skipped: newest("deliveries", "id", "is_undelivered AND state = 'skipped'"),
};

/** Those of one deposit's or order's events: a handful, of any state or the one that is named. */
const pageOf = (subject: "deposit_id" | "order_id") => `
  SELECT o.id FROM events v JOIN deliveries o ON o.event_id = v.id AND o.endpoint_id = p.id
  WHERE v.${subject} = $5 AND ($6::text IS NULL OR o.state = $6) AND ($3::uuid IS NULL OR o.id < $3)
  ORDER BY o.id DESC LIMIT $4`;

/** A merchant's deliveries, newest first, those to deleted endpoints included. An event is of one deposit or one order. */
export async function listDeliveries(
  sql: Sql,
  filter: {
    readonly merchantId: string;
    readonly endpointId?: string;
    readonly depositId?: string;
    readonly orderId?: string;
    readonly state?: DeliveryState;
    /** Only those older than this one: the last of the page before. */
    readonly before?: string;
    readonly limit: number;
  },
): Promise<Delivery[]> {
  const { depositId, orderId, state } = filter;
  if (depositId !== undefined && orderId !== undefined) return [];
  const subjectId = depositId ?? orderId;
  const page =
    subjectId === undefined
      ? PAGE_BY_STATE[state ?? "all"]
      : pageOf(depositId === undefined ? "order_id" : "deposit_id");
  const ofSubject = subjectId === undefined ? [] : [subjectId, state ?? null];
  const rows = await sql.query<DeliveryRow>(
    `SELECT ${COLUMNS} FROM endpoints p CROSS JOIN LATERAL (${page}) page
     JOIN deliveries d ON d.endpoint_id = p.id AND d.id = page.id JOIN events e ON e.id = d.event_id
     WHERE p.merchant_id = $1 AND ($2::text IS NULL OR p.id = $2)
     ORDER BY d.id DESC LIMIT $4`,
    [filter.merchantId, filter.endpointId ?? null, filter.before ?? null, filter.limit, ...ofSubject],
  );
  return rows.map(toDelivery);
}

/** @throws {InputError} `not_found`, also for another merchant's */
export async function getDelivery(
  sql: Sql,
  merchantId: string,
  id: string,
): Promise<{ delivery: Delivery; attempts: DeliveryAttempt[] }> {
  const [row] = await sql.query<DeliveryRow>(
    `SELECT ${COLUMNS} FROM endpoints p JOIN deliveries d ON d.endpoint_id = p.id AND d.id = $1
       JOIN events e ON e.id = d.event_id
     WHERE p.merchant_id = $2`,
    [id, merchantId],
  );
  if (row === undefined) throw new InputError("not_found", "There is no such delivery", { id });
  return { delivery: toDelivery(row), attempts: await listAttempts(sql, id) };
}

async function listAttempts(sql: Sql, deliveryId: string): Promise<DeliveryAttempt[]> {
  return sql.query<DeliveryAttempt>(
    `SELECT row_number() OVER (ORDER BY attempt)::integer AS attempt, started_at AS "startedAt",
       duration_ms AS "durationMs", dns_ms AS "dnsMs", connect_ms AS "connectMs", tls_ms AS "tlsMs",
       first_byte_ms AS "firstByteMs", http_status AS "httpStatus", error, error_code AS "errorCode",
       response_body AS "responseBody"
     FROM delivery_attempts WHERE delivery_id = $1 ORDER BY attempt`,
    [deliveryId],
  );
}

/** What is still to be sent. */
export interface DeliveryBacklog {
  /** Their time has come, attempts under way included. */
  readonly dueNow: number;
  /** Waiting for their next attempt. */
  readonly waiting: number;
  /** Kept for disabled endpoints. */
  readonly held: number;
  /** Since when the oldest of those due now is due; `null` when none is. */
  readonly oldestDueAt: Date | null;
}

/** Reads what is due once: about 100 ms for a million of them. */
export async function countBacklog(sql: Sql): Promise<DeliveryBacklog> {
  const [row] = await sql.query<{
    due_now: bigint;
    waiting: bigint;
    held: bigint;
    oldest_due_at: Date | null;
  }>(
    `SELECT coalesce(sum(per.due_now) FILTER (WHERE p.status = 'enabled'), 0)::bigint AS due_now,
       coalesce(sum(per.total - per.due_now) FILTER (WHERE p.status = 'enabled'), 0)::bigint AS waiting,
       coalesce(sum(per.total) FILTER (WHERE p.status <> 'enabled'), 0)::bigint AS held,
       min(per.oldest) FILTER (WHERE p.status = 'enabled' AND per.due_now > 0) AS oldest_due_at
     FROM (
       SELECT endpoint_id, count(*) AS total, count(*) FILTER (WHERE next_attempt_at <= now()) AS due_now,
         min(next_attempt_at) AS oldest
       FROM due_deliveries GROUP BY endpoint_id
     ) per JOIN endpoints p ON p.id = per.endpoint_id AND p.deleted_at IS NULL`,
  );
  return {
    dueNow: Number(row?.due_now ?? 0n),
    waiting: Number(row?.waiting ?? 0n),
    held: Number(row?.held ?? 0n),
    oldestDueAt: row?.oldest_due_at ?? null,
  };
}

function toDelivery(row: DeliveryRow): Delivery {
  return {
    id: row.id,
    eventId: row.event_id,
    eventType: row.type,
    depositId: row.deposit_id,
    orderId: row.order_id,
    endpointId: row.endpoint_id,
    state: row.state,
    createdAt: row.created_at,
    nextAttemptAt: row.next_attempt_at,
    finishedAt: row.finished_at,
  };
}
