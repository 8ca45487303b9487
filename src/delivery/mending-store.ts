/**
 * Sending again what was ended: one delivery, or many. Same event, same id, same bytes; the schedule begins anew,
 * and the attempts of before stay in the log.
 */
import { InputError } from "../core/errors.ts";
import type { Sql } from "../db/database.ts";

/** What the CTE `again` returned of `deliveries` is to be attempted at once, and its schedule begins anew. */
export const MAKE_DUE = `
  INSERT INTO due_deliveries (delivery_id, event_id, attempt, schedule_base, next_attempt_at, created_at, endpoint_id)
  SELECT id, event_id, attempt, attempt, now(), created_at, endpoint_id FROM again`;

/**
 * Makes a delivery due now, whatever became of it before. One that waits for its next attempt keeps its place in the
 * schedule; one that is being attempted this moment is left alone.
 *
 * @throws {InputError} `not_found`, also for another merchant's; `endpoint_deleted`
 */
export async function retryDelivery(sql: Sql, merchantId: string, id: string): Promise<void> {
  const [row] = await sql.query<{ deleted: boolean }>(
    `WITH found AS (
       SELECT d.endpoint_id, d.id, p.deleted_at IS NOT NULL AS deleted
       FROM endpoints p JOIN deliveries d ON d.endpoint_id = p.id AND d.id = $1
       WHERE p.merchant_id = $2
     ), sooner AS (
       UPDATE due_deliveries d SET next_attempt_at = now() FROM found f
       WHERE d.delivery_id = f.id AND NOT f.deleted AND (d.claimed_until IS NULL OR d.claimed_until <= now())
     ), again AS (
       UPDATE deliveries d SET state = 'due', finished_at = NULL FROM found f
       WHERE d.endpoint_id = f.endpoint_id AND d.id = f.id AND NOT f.deleted AND d.state <> 'due'
       RETURNING d.*
     ), due AS (${MAKE_DUE})
     SELECT deleted FROM found`,
    [id, merchantId],
  );
  if (row === undefined) throw new InputError("not_found", "There is no such delivery", { id });
  if (row.deleted) throw new InputError("endpoint_deleted", "The delivery's endpoint was deleted", { id });
}
