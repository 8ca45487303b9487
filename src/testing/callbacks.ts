/** Rows that tests of delivery need: endpoints, and events with a delivery each. */

import type { Sql } from "../db/database.ts";
import { createEndpointSecret, formatEndpointSecret } from "../delivery/endpoint-secret.ts";
import { systemRandom } from "../runtime/random.ts";
import { createSecretBox } from "../runtime/secret-box.ts";
import { MERCHANT_ID } from "./factory.ts";

/** What seals the secrets of the endpoints below. */
export const testSecretBox = createSecretBox(Buffer.alloc(32, 7), systemRandom);

export interface TestEndpoint {
  readonly id: string;
  /** `whsec_…` */
  readonly secret: string;
}

/** Writes the row as it is given: no look at the URL. */
export async function insertEndpoint(sql: Sql, url: string, id = "end_test"): Promise<TestEndpoint> {
  const secret = createEndpointSecret(systemRandom);
  await sql.query("INSERT INTO merchants (id, name) VALUES ($1, 'Test') ON CONFLICT DO NOTHING", [
    MERCHANT_ID,
  ]);
  await sql.query(
    "INSERT INTO endpoints (id, merchant_id, url, events, secret) VALUES ($1, $2, $3, '{endpoint.test}', $4)",
    [id, MERCHANT_ID, url, testSecretBox.seal(secret.bytes)],
  );
  return { id, secret: formatEndpointSecret(secret) ?? "" };
}

/** Writes `count` events, each with a due delivery to every one of the endpoints. */
export async function insertDeliveries(sql: Sql, endpointIds: readonly string[], count = 1): Promise<void> {
  await sql.query(
    `WITH event AS (
       INSERT INTO events (merchant_id, type, body)
       SELECT $1, 'endpoint.test', json_build_object('type', 'endpoint.test', 'timestamp', now(), 'data', json_build_object('n', n))::text
       FROM generate_series(1, $3::integer) n RETURNING id
     ) INSERT INTO deliveries (event_id, endpoint_id) SELECT event.id, endpoint FROM event, unnest($2::text[]) endpoint`,
    [MERCHANT_ID, endpointIds, count],
  );
}

/** Ends whatever is due, as if an attempt of each had ended so. */
export async function endDueDeliveries(sql: Sql, state: "delivered" | "failed"): Promise<void> {
  await sql.query(
    `WITH ended AS (DELETE FROM due_deliveries RETURNING endpoint_id, delivery_id)
     UPDATE deliveries d SET state = $1, attempt = attempt + 1, finished_at = now()
     FROM ended e WHERE d.endpoint_id = e.endpoint_id AND d.id = e.delivery_id`,
    [state],
  );
}
