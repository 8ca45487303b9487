/**
 * Replays: an order to send many deliveries of an endpoint again, by time, type and state. The order is a row, and
 * each batch commits with how far it came: whoever comes next goes on there, after a kill too.
 */
import { FatalError, InputError } from "../core/errors.ts";
import type { Sql } from "../db/database.ts";
import type { Random } from "../runtime/random.ts";
import { MAKE_DUE } from "./mending-store.ts";

/** What can be sent again; what is due is on its way. */
export const REPLAYED_STATES = ["delivered", "failed", "skipped"] as const;
export type ReplayedState = (typeof REPLAYED_STATES)[number];

export interface Replay {
  readonly id: string;
  readonly endpointId: string;
  readonly since: Date;
  readonly until: Date;
  /** `null`: all. */
  readonly types: readonly string[] | null;
  readonly states: readonly ReplayedState[];
  /** Deliveries that were meant when it was ordered. */
  readonly total: number;
  /** Deliveries made due so far. */
  readonly done: number;
  readonly createdAt: Date;
  /** `null` while it goes on. */
  readonly finishedAt: Date | null;
}

export interface WantedReplay {
  readonly endpointId: string;
  /** Events of this time and later. */
  readonly since: Date;
  /** Events before this time; until now if there is none. */
  readonly until?: Date | undefined;
  readonly types?: readonly string[] | undefined;
  /** All if none are named. */
  readonly states?: readonly ReplayedState[] | undefined;
}

const COLUMNS = `r.id, r.endpoint_id AS "endpointId", r.since, r.until, r.types, r.states, r.total::integer,
  r.done::integer, r.created_at AS "createdAt", r.finished_at AS "finishedAt"`;

/**
 * An id is made when its row is written and `created_at` when its transaction began, so a row's id is never of an
 * earlier time, but for clocks that were set back.
 */
const CLOCK_MARGIN = "interval '1 hour'";

/**
 * Orders a replay, and does none of it yet.
 *
 * @throws {InputError} `not_found` for an endpoint that is deleted or never was; `invalid_request` for a time that ends
 *   before it begins
 */
export async function orderReplay(sql: Sql, random: Random, wanted: WantedReplay): Promise<Replay> {
  if (wanted.until !== undefined && wanted.until <= wanted.since)
    throw new InputError(
      "invalid_request",
      "A replay must end later than it begins: until is not after since",
      {
        path: "until",
      },
    );
  const id = `rep_${random.bytes(10).toString("hex")}`;
  const [row] = await sql.query<Replay>(
    `INSERT INTO replays AS r (id, endpoint_id, since, until, types, states, after, total)
     SELECT $1, p.id, $3::timestamptz, coalesce($4::timestamptz, now()), $5::text[], $6::text[], uuid_v7_floor($3::timestamptz - ${CLOCK_MARGIN}), (
       SELECT count(*) FROM deliveries d
       WHERE d.endpoint_id = p.id AND d.id > uuid_v7_floor($3::timestamptz - ${CLOCK_MARGIN}) AND d.state = ANY ($6::text[])
         AND d.created_at >= $3::timestamptz AND d.created_at < coalesce($4::timestamptz, now())
         AND ($5::text[] IS NULL OR EXISTS (SELECT FROM events e WHERE e.id = d.event_id AND e.type = ANY ($5::text[])))
     ) FROM endpoints p WHERE p.id = $2 AND p.deleted_at IS NULL
     RETURNING ${COLUMNS}`,
    [
      id,
      wanted.endpointId,
      wanted.since,
      wanted.until ?? null,
      wanted.types ?? null,
      wanted.states ?? REPLAYED_STATES,
    ],
  );
  if (row === undefined)
    throw new InputError("not_found", "There is no such endpoint", { id: wanted.endpointId });
  return row;
}

/** @throws {InputError} `not_found`, also for another merchant's */
export async function getReplay(sql: Sql, merchantId: string, id: string): Promise<Replay> {
  const [row] = await sql.query<Replay>(
    `SELECT ${COLUMNS} FROM replays r JOIN endpoints p ON p.id = r.endpoint_id
     WHERE r.id = $1 AND p.merchant_id = $2`,
    [id, merchantId],
  );
  if (row === undefined) throw new InputError("not_found", "There is no such replay", { id });
  return row;
}

/** Those that are not finished, oldest first. */
export async function listOpenReplays(sql: Sql): Promise<string[]> {
  const rows = await sql.query<{ id: string }>(
    "SELECT id FROM replays WHERE finished_at IS NULL ORDER BY created_at LIMIT 100",
  );
  return rows.map(({ id }) => id);
}

/**
 * One batch of a replay in one statement: the next deliveries become due, and the replay knows it. Two at once take
 * turns at its row.
 *
 * @param limit deliveries of this batch
 */
export async function advanceReplay(sql: Sql, id: string, limit: number): Promise<Replay> {
  const [row] = await sql.query<Replay>(
    `WITH replay AS (
       SELECT * FROM replays WHERE id = $1 FOR UPDATE
     ), chosen AS MATERIALIZED (
       SELECT next.* FROM replay o CROSS JOIN LATERAL (
         SELECT d.endpoint_id, d.id FROM deliveries d
         WHERE d.endpoint_id = o.endpoint_id AND d.id > o.after AND d.state = ANY (o.states)
           AND d.created_at >= o.since AND d.created_at < o.until
           AND (o.types IS NULL OR EXISTS (SELECT FROM events e WHERE e.id = d.event_id AND e.type = ANY (o.types)))
         ORDER BY d.id LIMIT $2 FOR NO KEY UPDATE OF d
       ) next WHERE o.finished_at IS NULL
     ), again AS (
       UPDATE deliveries d SET state = 'due', finished_at = NULL
       FROM chosen c WHERE d.endpoint_id = c.endpoint_id AND d.id = c.id AND d.state <> 'due'
       RETURNING d.*
     ), due AS (${MAKE_DUE})
     UPDATE replays r SET
       after = coalesce((SELECT c.id FROM chosen c ORDER BY c.id DESC LIMIT 1), r.after),
       done = r.done + (SELECT count(*) FROM again),
       finished_at = CASE WHEN r.finished_at IS NULL AND (SELECT count(*) FROM chosen) < $2 THEN now()
                     ELSE r.finished_at END
     FROM replay o WHERE r.id = o.id
     RETURNING ${COLUMNS}`,
    [id, limit],
  );
  if (row === undefined) throw new FatalError("internal", "A replay is gone", { id });
  return row;
}
