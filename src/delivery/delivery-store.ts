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
    (SELECT endpoint_id, 1 AS position FROM deliveries
     WHERE state = 'due' ORDER BY endpoint_id, next_attempt_at LIMIT 1)
    UNION ALL
    SELECT following.endpoint_id, s.position + 1
    FROM scanned s CROSS JOIN LATERAL (
      SELECT endpoint_id FROM deliveries
      WHERE state = 'due' AND endpoint_id > s.endpoint_id ORDER BY endpoint_id, next_attempt_at LIMIT 1
    ) following
    WHERE s.position < ${WINDOW}
  )
  SELECT extract(epoch FROM min(
    CASE WHEN p.paused_until > now() THEN p.paused_until ELSE waiting.next_attempt_at END
  ) - now())::double precision * 1000 AS ms
  FROM scanned s
  JOIN endpoints p ON p.id = s.endpoint_id AND p.status = 'enabled' AND p.deleted_at IS NULL
  LEFT JOIN LATERAL (
    SELECT d.endpoint_id, d.next_attempt_at FROM deliveries d
    WHERE d.state = 'due' AND (d.endpoint_id, d.next_attempt_at) > (p.id, now())
    ORDER BY d.endpoint_id, d.next_attempt_at LIMIT 1
  ) waiting ON waiting.endpoint_id = p.id`;

/** Milliseconds until the next attempt that is not due yet, or the end of a pause; `null` when none waits. */
export async function nextAttemptInMs(sql: Sql): Promise<number | null> {
  const [row] = await sql.query<{ ms: number | null }>(NEXT_ATTEMPT, [], "next attempt");
  return row === undefined || row.ms === null ? null : Math.ceil(row.ms);
}

/** Ends what is still due to deleted endpoints: nobody will send it any more. At most `limit` at once. */
export async function failDeliveriesOfDeletedEndpoints(sql: Sql, limit: number): Promise<number> {
  const rows = await sql.query<{ id: string }>(
    `UPDATE deliveries SET state = 'failed', claimed_until = NULL, finished_at = now()
     WHERE id IN (
       SELECT due.id FROM endpoints p CROSS JOIN LATERAL (
         SELECT d.id FROM deliveries d
         WHERE d.endpoint_id = p.id AND d.state = 'due' AND (d.claimed_until IS NULL OR d.claimed_until <= now())
         LIMIT $1 FOR NO KEY UPDATE SKIP LOCKED
       ) due
       WHERE p.deleted_at IS NOT NULL LIMIT $1
     ) RETURNING id`,
    [limit],
  );
  return rows.length;
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
