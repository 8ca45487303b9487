/** Payments that wait in the mempool, and what became of them. */
import { z } from "zod";
import { seenPaymentBody } from "../../core/seen-payment-body.ts";
import { listSeenPayments } from "../../deposits/seen-payment-list-store.ts";
import { pageOf, seenPaymentShape } from "../answers.ts";
import { address, hash, orderNo, pageQuery, seenStatus, userId } from "../inputs.ts";
import { decodeCursor, toPage } from "../page-cursor.ts";
import { type Route, route } from "../route.ts";

const listAll = route({
  method: "GET",
  path: "/v1/seen-payments",
  summary: "Payments seen in the mempool, newest first. They are no deposits and count in no balance.",
  query: z.strictObject({
    status: seenStatus.optional(),
    userId: userId.optional(),
    txHash: hash.optional(),
    address: address.optional().describe("The watched address that would receive it."),
    orderNo: orderNo.optional().describe("Of the order whose address would receive it."),
    ...pageQuery,
  }),
  answers: {
    200: { description: "A page of seen payments.", shape: pageOf(seenPaymentShape, "SeenPaymentPage") },
  },
  handle: async ({ caller, query, database }) => {
    const { cursor, limit, ...filter } = query;
    const end = cursor === undefined ? undefined : decodeCursor(cursor);
    const found = await listSeenPayments(database, {
      ...filter,
      merchantId: caller.merchantId,
      limit: limit + 1,
      after: end === undefined ? undefined : { detectedAt: end.at, id: end.id },
    });
    const page = toPage(found, limit, (seen) => ({ at: seen.detectedAt, id: seen.id }));
    return { status: 200, body: { items: page.items.map(seenPaymentBody), nextCursor: page.nextCursor } };
  },
});

export const seenPaymentRoutes: readonly Route[] = [listAll];
