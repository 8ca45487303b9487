/** A claimed delivery as the HTTP request that carries it. */
import type { ClaimedDelivery } from "./claim-store.ts";
import type { CallbackRequest } from "./egress.ts";
import { publicEventId } from "./public-id.ts";
import { signCallback } from "./signature.ts";

/**
 * `webhook-id` and body are the event's, so they are the same on every attempt and for every endpoint; timestamp
 * and signature are this attempt's.
 *
 * @throws {FatalError} `secret_key_wrong` when the endpoint's secret cannot be opened
 */
export function callbackRequest(
  claim: ClaimedDelivery,
  openSecret: (sealed: Buffer) => Buffer,
  nowMs: number,
  timeoutMs: number,
): CallbackRequest {
  return {
    url: claim.url,
    body: claim.body,
    timeoutMs,
    headers: {
      "content-type": "application/json",
      "user-agent": "depositd",
      // An answer that needs no unpacking cannot unpack to gigabytes.
      "accept-encoding": "identity",
      ...signCallback({
        id: publicEventId(claim.eventId),
        timestampSeconds: Math.floor(nowMs / 1000),
        body: claim.body,
        secrets: [openSecret(claim.sealedSecret)],
      }),
    },
  };
}
