/** The event that tells of a seen payment's new status. There is one type for all of them. */
import { type EventBody, SEEN_EVENT_TYPE } from "../core/event.ts";
import type { SeenPayment } from "../core/seen-payment.ts";
import { type SeenPaymentBody, seenPaymentBody } from "../core/seen-payment-body.ts";
import type { SeenEvent } from "./event-store.ts";

/** @param seen as it is after the move */
export function seenEvent(seen: SeenPayment): SeenEvent {
  const body: EventBody<SeenPaymentBody> = {
    type: SEEN_EVENT_TYPE,
    timestamp: seen.changedAt.toISOString(),
    data: seenPaymentBody(seen),
  };
  return {
    merchantId: seen.merchantId,
    type: SEEN_EVENT_TYPE,
    seenId: seen.id,
    sequence: seen.sequence,
    body: JSON.stringify(body),
  };
}
