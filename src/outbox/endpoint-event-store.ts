/** Events that speak of an endpoint, not of a deposit, and go to endpoints that are named one by one. */
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
  /** Where it goes, whatever types those endpoints have named. */
  readonly endpointIds: readonly string[];
}

/**
 * Writes an event with a delivery to each of the endpoints.
 *
 * @returns the rows' ids, the deliveries in the order of their endpoints' ids
 */
export async function appendEndpointEvent(
  tx: Sql,
  event: EndpointEvent,
): Promise<{ eventId: string; deliveryIds: string[] }> {
  const { merchantId, type, data, at, endpointIds } = event;
  const body = JSON.stringify({ type, timestamp: at.toISOString(), data });
  const rows = await tx.query<{ event_id: string; delivery_id: string | null }>(
    `WITH written AS (
       INSERT INTO events (merchant_id, type, body) VALUES ($1, $2, $3) RETURNING id
     ), sent AS (
       INSERT INTO deliveries (event_id, endpoint_id)
       SELECT w.id, p.id FROM written w, endpoints p
       WHERE p.id = ANY ($4) AND p.merchant_id = $1 AND p.deleted_at IS NULL
       RETURNING id, endpoint_id
     )
     SELECT w.id AS event_id, s.id AS delivery_id FROM written w LEFT JOIN sent s ON true ORDER BY s.endpoint_id`,
    [merchantId, type, body, endpointIds],
  );
  const [first] = rows;
  if (first === undefined)
    throw new FatalError("internal", "An event was written without an answer", { type });
  return { eventId: first.event_id, deliveryIds: rows.flatMap(({ delivery_id }) => delivery_id ?? []) };
}
