/** The event that tells of a change of an order. */
import type { EventBody, OrderEventType } from "../core/event.ts";
import type { Order } from "../core/order.ts";
import { type OrderBody, orderBody } from "../core/order-body.ts";
import type { OrderEvent } from "./event-store.ts";

/**
 * @param order as it is after the change
 * @param at the transaction's time
 */
export function orderEvent(order: Order, type: OrderEventType, at: Date): OrderEvent {
  const body: EventBody<OrderBody> = { type, timestamp: at.toISOString(), data: orderBody(order) };
  return {
    merchantId: order.merchantId,
    type,
    orderId: order.id,
    sequence: order.sequence,
    body: JSON.stringify(body),
  };
}
