/** What the deliverer's sweep looks for among the deliveries that nobody holds. */
import type { Sql } from "../db/database.ts";

/** Milliseconds until the next attempt that is not due yet, or the end of a pause; `null` when none waits. */
export async function nextAttemptInMs(sql: Sql): Promise<number | null> {
  const [row] = await sql.query<{ ms: number | null }>(
    `SELECT extract(epoch FROM least((
       SELECT d.next_attempt_at FROM deliveries d JOIN endpoints p ON p.id = d.endpoint_id
       WHERE d.state = 'due' AND d.next_attempt_at > now() AND p.status = 'enabled' AND p.deleted_at IS NULL
       ORDER BY d.next_attempt_at LIMIT 1
     ), (
       SELECT min(p.paused_until) FROM endpoints p
       WHERE p.paused_until > now() AND p.status = 'enabled' AND p.deleted_at IS NULL
         AND EXISTS (SELECT FROM deliveries d WHERE d.endpoint_id = p.id AND d.state = 'due')
     )) - now())::double precision * 1000 AS ms`,
  );
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
