/**
 * [tx] What came of attempts, with what follows for their endpoints: an endpoint that is disabled by it is told of to
 * the merchant's other endpoints, in the same transaction.
 */
import type { Database, Sql } from "../db/database.ts";
import {
  type DisabledEndpoint,
  type RecordedAttempt,
  type RecordPolicy,
  type RecordResult,
  recordOutcomes,
} from "../delivery/outcome-store.ts";
import { appendEndpointEvent } from "../outbox/endpoint-event-store.ts";

export async function recordAttempts(
  database: Database,
  attempts: readonly RecordedAttempt[],
  policy: RecordPolicy,
): Promise<RecordResult> {
  // A success disables nothing, so one statement does.
  if (attempts.every(({ outcome }) => outcome.error === null))
    return recordOutcomes(database, attempts, policy);
  return database.transaction(async (tx) => {
    const result = await recordOutcomes(tx, attempts, policy);
    for (const disabled of result.disabled) await tellOthers(tx, disabled);
    return result;
  });
}

async function tellOthers(tx: Sql, { id, merchantId, url, reason, failingSince, at }: DisabledEndpoint) {
  await appendEndpointEvent(tx, {
    merchantId,
    type: "endpoint.disabled",
    data: { endpointId: id, url, reason, failingSince: failingSince?.toISOString() ?? null },
    at,
    to: { except: id },
  });
}
