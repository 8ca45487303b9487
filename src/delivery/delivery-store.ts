/** What the deliverer's sweep looks for among the deliveries that nobody holds. */
import type { Sql } from "../db/database.ts";

/** Endpoints looked at: what waits for others is found by the sweep. */
const WINDOW = 1_000;

/**
 * Endpoints with due rows are found by skipping through the index from one to the next, as in the claim: so a million
 * that wait for an endpoint that is disabled or paused are passed over in one step. Pairs are compared so that this index
 * alone will do: by time alone the planner walks through everybody's.
 */
export const NEXT_ATTEMPT = `
  WITH RECURSIVE scanned AS (
    (SELECT endpoint_id, 1 AS position FROM due_deliveries ORDER BY endpoint_id, next_attempt_at LIMIT 1)
    UNION ALL
    SELECT following.endpoint_id, s.position + 1
    FROM scanned s CROSS JOIN LATERAL (
      SELECT endpoint_id FROM due_deliveries
      WHERE endpoint_id > s.endpoint_id ORDER BY endpoint_id, next_attempt_at LIMIT 1
    ) following
    WHERE s.position < ${WINDOW}
  )
  SELECT extract(epoch FROM min(
    CASE WHEN p.paused_until > now() THEN p.paused_until ELSE waiting.next_attempt_at END
  ) - now())::double precision * 1000 AS ms
  FROM scanned s
  JOIN endpoints p ON p.id = s.endpoint_id AND p.status = 'enabled' AND p.deleted_at IS NULL
  LEFT JOIN LATERAL (
    SELECT d.endpoint_id, d.next_attempt_at FROM due_deliveries d
    WHERE (d.endpoint_id, d.next_attempt_at) > (p.id, now())
    ORDER BY d.endpoint_id, d.next_attempt_at LIMIT 1
  ) waiting ON waiting.endpoint_id = p.id`;

/** Milliseconds until the next attempt that is not due yet, or the end of a pause; `null` when none waits. */
export async function nextAttemptInMs(sql: Sql): Promise<number | null> {
  const [row] = await sql.query<{ ms: number | null }>(NEXT_ATTEMPT, [], "next attempt");
  return row === undefined || row.ms === null ? null : Math.ceil(row.ms);
}

/** Ends what is still due to deleted endpoints: nobody will send it any more. At most `limit` at once. */
export async function failDeliveriesOfDeletedEndpoints(sql: Sql, limit: number): Promise<number> {
  const deleted = `d.delivery_id IN (
    SELECT due.delivery_id FROM endpoints p CROSS JOIN LATERAL (
      SELECT u.delivery_id FROM due_deliveries u
      WHERE u.endpoint_id = p.id AND (u.claimed_until IS NULL OR u.claimed_until <= now())
      LIMIT $1 FOR UPDATE SKIP LOCKED
    ) due
    WHERE p.deleted_at IS NOT NULL LIMIT $1
  )`;
  return endUnsent(sql, "failed", deleted, limit);
}

/**
 * Ends what was kept for a disabled endpoint without sending it. For one that is enabled nothing is kept: what is due
 * to it is on its way.
 *
 * @returns how many
 */
export async function skipKeptDeliveries(sql: Sql, endpointId: string): Promise<number> {
  const kept = `d.endpoint_id = $1 AND (d.claimed_until IS NULL OR d.claimed_until <= now())
    AND EXISTS (SELECT FROM endpoints p WHERE p.id = $1 AND p.status = 'disabled')`;
  return endUnsent(sql, "skipped", kept, endpointId);
}

async function endUnsent(sql: Sql, state: "failed" | "skipped", which: string, value: string | number) {
  const [row] = await sql.query<{ count: bigint }>(
    `WITH unsent AS (
       DELETE FROM due_deliveries d WHERE ${which} RETURNING d.endpoint_id, d.delivery_id, d.attempt
     ), ended AS (
       UPDATE deliveries d SET state = '${state}', attempt = u.attempt, finished_at = now()
       FROM unsent u WHERE d.endpoint_id = u.endpoint_id AND d.id = u.delivery_id
       RETURNING 1
     ) SELECT count(*) AS count FROM ended`,
    [value],
  );
  return Number(row?.count ?? 0n);
}

/** Rows that are claimed or ended leave a dead one behind. */
const DEAD_TO_VACUUM = 20_000;

/**
 * Takes what ended out of the index of what is due, as soon as that is much: until then each claim walks over it, and ten
 * thousand of them cost every callback 1 µs more. Autovacuum does the same, but once a minute at most, by which time half a
 * million may have ended. Run it in no transaction. Does nothing while another vacuum is at work, or for a role that may
 * not.
 *
 * @returns whether there was much
 */
export async function vacuumDueDeliveries(sql: Sql): Promise<boolean> {
  const [row] = await sql.query<{ dead: bigint }>(
    "SELECT n_dead_tup AS dead FROM pg_stat_user_tables WHERE relname = 'due_deliveries' AND schemaname = current_schema",
  );
  if (Number(row?.dead ?? 0n) < DEAD_TO_VACUUM) return false;
  await sql.query("VACUUM (SKIP_LOCKED, INDEX_CLEANUP ON, TRUNCATE OFF) due_deliveries");
  return true;
}

/**
 * The first attempt's delay of the schedule in force, for endpoints without one of their own: those who write events
 * find it in the endpoint's row.
 */
export async function keepFirstDelay(sql: Sql, firstDelayMs: number): Promise<void> {
  await sql.query(
    "UPDATE endpoints SET first_delay_ms = $1 WHERE schedule_ms = '{}' AND first_delay_ms <> $1",
    [firstDelayMs],
  );
}
