/** Events that speak of an endpoint, not of a deposit. */
import { FatalError } from "../core/errors.ts";
import type { EventType } from "../core/event.ts";
import type { Sql } from "../db/database.ts";

export interface EndpointEvent {
  readonly merchantId: string;
  readonly type: EventType;
  /** `data` of the body. */
  readonly data: Readonly<Record<string, unknown>>;
  /** The event's own time. */
  readonly at: Date;
  /** One endpoint, whatever types it has named; or all but one, of those that are enabled and named the type. */
  readonly to: { readonly only: string } | { readonly except: string };
}

/**
 * Writes an event with its deliveries, due at once.
 *
 * @returns the rows' ids, the deliveries in the order of their endpoints' ids
 */
export async function appendEndpointEvent(
  tx: Sql,
  event: EndpointEvent,
): Promise<{ eventId: string; deliveryIds: string[] }> {
  const { merchantId, type, data, at, to } = event;
  const body = JSON.stringify({ type, timestamp: at.toISOString(), data });
  const rows = await tx.query<{ event_id: string; delivery_id: string | null }>(
    `WITH written AS (
       INSERT INTO events (merchant_id, type, body) VALUES ($1, $2, $3) RETURNING id
     ), sent AS (
       INSERT INTO deliveries (event_id, endpoint_id)
       SELECT w.id, p.id FROM written w, endpoints p
       WHERE p.merchant_id = $1 AND p.deleted_at IS NULL
         AND (p.id = $4 OR (p.id <> $5 AND p.status = 'enabled' AND $2 = ANY (p.events)))
       RETURNING id, endpoint_id
     )
     SELECT w.id AS event_id, s.id AS delivery_id FROM written w LEFT JOIN sent s ON true ORDER BY s.endpoint_id`,
    [merchantId, type, body, "only" in to ? to.only : null, "except" in to ? to.except : null],
  );
  const [first] = rows;
  if (first === undefined)
    throw new FatalError("internal", "An event was written without an answer", { type });
  return { eventId: first.event_id, deliveryIds: rows.flatMap(({ delivery_id }) => delivery_id ?? []) };
}
