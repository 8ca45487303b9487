/**
 * Sending again what was ended: one delivery, or many. Same event, same id, same bytes; the schedule begins anew,
 * and the attempts of before stay in the log.
 */
import { InputError } from "../core/errors.ts";
import type { Sql } from "../db/database.ts";

/**
 * Makes a delivery due now, whatever became of it before. One that waits for its next attempt keeps its place in the
 * schedule; one that is being attempted this moment is left alone.
 *
 * @throws {InputError} `not_found`, also for another merchant's; `endpoint_deleted`
 */
export async function retryDelivery(sql: Sql, merchantId: string, id: string): Promise<void> {
  const [row] = await sql.query<{ deleted: boolean }>(
    `WITH found AS (
       SELECT d.id, p.deleted_at IS NOT NULL AS deleted
       FROM deliveries d JOIN endpoints p ON p.id = d.endpoint_id
       WHERE d.id = $1 AND p.merchant_id = $2
     ), again AS (
       UPDATE deliveries d SET state = 'due', finished_at = NULL, next_attempt_at = now(),
         claimed_until = CASE d.state WHEN 'due' THEN d.claimed_until END,
         schedule_base = CASE d.state WHEN 'due' THEN d.schedule_base ELSE d.attempt END
       FROM found f
       WHERE d.id = f.id AND NOT f.deleted AND (d.claimed_until IS NULL OR d.claimed_until <= now())
     )
     SELECT deleted FROM found`,
    [id, merchantId],
  );
  if (row === undefined) throw new InputError("not_found", "There is no such delivery", { id });
  if (row.deleted) throw new InputError("endpoint_deleted", "The delivery's endpoint was deleted", { id });
}

/**
 * Ends what was kept for a disabled endpoint without sending it. For one that is enabled nothing is kept: what is due
 * to it is on its way.
 *
 * @returns how many
 */
export async function skipKeptDeliveries(sql: Sql, endpointId: string): Promise<number> {
  const [row] = await sql.query<{ count: bigint }>(
    `WITH skipped AS (
       UPDATE deliveries SET state = 'skipped', claimed_until = NULL, finished_at = now()
       WHERE endpoint_id = $1 AND state = 'due' AND (claimed_until IS NULL OR claimed_until <= now())
         AND EXISTS (SELECT FROM endpoints p WHERE p.id = $1 AND p.status = 'disabled')
       RETURNING 1
     ) SELECT count(*) AS count FROM skipped`,
    [endpointId],
  );
  return Number(row?.count ?? 0n);
}
