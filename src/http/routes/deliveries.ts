/** Deliveries: the list, one with its attempts, and sending one again. */
import { z } from "zod";
import { InputError } from "../../core/errors.ts";
import {
  DELIVERY_STATES,
  type Delivery,
  getDelivery,
  listDeliveries,
} from "../../delivery/delivery-list-store.ts";
import { retryDelivery } from "../../delivery/mending-store.ts";
import { parseDeliveryId, publicDeliveryId, publicEventId } from "../../delivery/public-id.ts";
import { pageOf } from "../answers.ts";
import {
  type DeliveryBody,
  type DeliveryDetailBody,
  deliveryDetailShape,
  deliveryShape,
} from "../callback-answers.ts";
import { id, pageQuery } from "../inputs.ts";
import { decodeCursor, toPage } from "../page-cursor.ts";
import type { HttpParts } from "../parts.ts";
import { type Route, type RouteRequest, route } from "../route.ts";

const params = z.strictObject({ id });

export function deliveryRoutes(parts: Pick<HttpParts, "wakeDeliverer">): readonly Route[] {
  return [
    route({
      method: "GET",
      path: "/v1/deliveries",
      summary: "Deliveries of events to endpoints, newest first.",
      query: z.strictObject({
        status: z.enum(DELIVERY_STATES).optional(),
        endpointId: id.optional(),
        depositId: id.optional().meta({ description: "Only those that tell of this deposit." }),
        orderId: id.optional().meta({ description: "Only those that tell of this order." }),
        ...pageQuery,
      }),
      answers: {
        200: { description: "A page of deliveries.", shape: pageOf(deliveryShape, "DeliveryPage") },
      },
      handle: async ({ caller, query, database }) => {
        const { cursor, limit, status, endpointId, depositId, orderId } = query;
        const found = await listDeliveries(database, {
          merchantId: caller.merchantId,
          limit: limit + 1,
          ...(endpointId === undefined ? {} : { endpointId }),
          ...(depositId === undefined ? {} : { depositId }),
          ...(orderId === undefined ? {} : { orderId }),
          ...(status === undefined ? {} : { state: status }),
          ...(cursor === undefined ? {} : { before: readCursor(cursor) }),
        });
        const page = toPage(found, limit, (each) => ({ at: each.createdAt, id: publicDeliveryId(each.id) }));
        return { status: 200, body: { ...page, items: page.items.map(deliveryBody) } };
      },
    }),
    route({
      method: "GET",
      path: "/v1/deliveries/{id}",
      summary: "One delivery with its attempts.",
      params,
      answers: { 200: { description: "The delivery.", shape: deliveryDetailShape } },
      handle: async ({ caller, params: { id: deliveryId }, database }) => ({
        status: 200,
        body: await detailBody(database, caller.merchantId, parseDeliveryId(deliveryId)),
      }),
    }),
    route({
      method: "POST",
      path: "/v1/deliveries/{id}/retry",
      summary:
        "Attempt a delivery now, whatever became of it before: same id, same body, a schedule of its own.",
      params,
      answers: { 202: { description: "It is due.", shape: deliveryDetailShape } },
      handle: async ({ caller, params: { id: deliveryId }, database }) => {
        const row = parseDeliveryId(deliveryId);
        await retryDelivery(database, caller.merchantId, row);
        const body = await detailBody(database, caller.merchantId, row);
        return { status: 202, body, afterwards: parts.wakeDeliverer };
      },
    }),
  ];
}

function readCursor(cursor: string): string {
  try {
    return parseDeliveryId(decodeCursor(cursor).id);
  } catch {
    throw new InputError("invalid_cursor", "The cursor is not one that a page of this list ended with");
  }
}

async function detailBody(
  database: RouteRequest<unknown, unknown, unknown>["database"],
  merchantId: string,
  row: string,
): Promise<DeliveryDetailBody> {
  const { delivery, attempts } = await getDelivery(database, merchantId, row);
  return {
    ...deliveryBody(delivery),
    attempts: attempts.map((attempt) => ({ ...attempt, startedAt: attempt.startedAt.toISOString() })),
  };
}

function deliveryBody(delivery: Delivery): DeliveryBody {
  return {
    id: publicDeliveryId(delivery.id),
    eventId: publicEventId(delivery.eventId),
    type: delivery.eventType,
    depositId: delivery.depositId,
    orderId: delivery.orderId,
    endpointId: delivery.endpointId,
    status: delivery.state,
    createdAt: delivery.createdAt.toISOString(),
    nextAttemptAt: delivery.nextAttemptAt?.toISOString() ?? null,
    finishedAt: delivery.finishedAt?.toISOString() ?? null,
  };
}
