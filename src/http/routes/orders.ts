/** Orders: what a merchant expects, and what came of it. */
import { z } from "zod";
import { formatAmount } from "../../core/amount.ts";
import { depositBody } from "../../core/deposit-body.ts";
import { InputError } from "../../core/errors.ts";
import type { Order } from "../../core/order.ts";
import { orderBody } from "../../core/order-body.ts";
import { seenPaymentBody } from "../../core/seen-payment-body.ts";
import type { Sql } from "../../db/database.ts";
import { listDeposits } from "../../deposits/deposit-list-store.ts";
import { listSeenPayments } from "../../deposits/seen-payment-list-store.ts";
import { openOrder } from "../../flow/open-order.ts";
import { findOrder, listOrders, type OrderWithPending } from "../../orders/order-store.ts";
import { answeredOrderShape, orderDetailShape, pageOf } from "../answers.ts";
import { address, expiresIn, id, orderNo, orderStatus, pageQuery, userId } from "../inputs.ts";
import { decodeCursor, toPage } from "../page-cursor.ts";
import type { HttpParts } from "../parts.ts";
import { type Route, route } from "../route.ts";

type OrderParts = Pick<HttpParts, "chainIds" | "assetsOf" | "random" | "http">;

export function orderRoutes(parts: OrderParts): readonly Route[] {
  return [open(parts), listAll(parts), showOne(parts)];
}

const open = (parts: OrderParts) =>
  route({
    method: "POST",
    path: "/v1/orders",
    summary:
      "Open an order with an address of its own. The same request again answers the same order; the same number with anything else in it is refused.",
    body: z.strictObject({
      orderNo,
      userId: userId
        .optional()
        .describe("Whom its deposits are credited to. Without one: the order's number."),
      chainId: z.int().positive(),
      currency: z.string().min(1).max(100).describe("As the config lists it on this chain."),
      token: address
        .nullable()
        .optional()
        .describe("Needed only where the chain lists the currency more than once. null: the native coin."),
      amount: z.string().describe("A decimal number in the currency, not below its minimum."),
      expiresIn,
      address: address
        .optional()
        .describe("A new one of yours. Without it: the next of your extended public key."),
    }),
    answers: {
      201: { description: "The order is open.", shape: answeredOrderShape },
      200: { description: "It had been opened before; as it is now.", shape: answeredOrderShape },
    },
    handle: async ({ caller, body, database }) => {
      const { expiresIn: lifetimeS, ...wanted } = body;
      const { order, isNew } = await openOrder(
        { ...parts, database },
        { ...wanted, merchantId: caller.merchantId, userId: body.userId ?? body.orderNo, lifetimeS },
      );
      return { status: isNew ? 201 : 200, body: answeredOrder(parts, order) };
    },
  });

const listAll = (parts: OrderParts) =>
  route({
    method: "GET",
    path: "/v1/orders",
    summary: "Orders, newest first.",
    query: z.strictObject({
      orderNo: orderNo.optional(),
      status: orderStatus.optional(),
      userId: userId.optional(),
      address: address.optional(),
      ...pageQuery,
    }),
    answers: { 200: { description: "A page of orders.", shape: pageOf(answeredOrderShape, "OrderPage") } },
    handle: async ({ caller, query, database }) => {
      const { cursor, limit, ...filter } = query;
      const end = cursor === undefined ? undefined : decodeCursor(cursor);
      const found = await listOrders(database, {
        ...filter,
        merchantId: caller.merchantId,
        limit: limit + 1,
        after: end === undefined ? undefined : { createdAt: end.at, id: end.id },
      });
      const page = toPage(found, limit, (order) => ({ at: order.createdAt, id: order.id }));
      return {
        status: 200,
        body: { items: page.items.map((order) => answeredOrder(parts, order)), nextCursor: page.nextCursor },
      };
    },
  });

const showOne = (parts: OrderParts) =>
  route({
    method: "GET",
    path: "/v1/orders/{id}",
    summary: "One order with what came to its address, and what waits in the mempool to be paid to it.",
    params: z.strictObject({ id }),
    answers: { 200: { description: "The order.", shape: orderDetailShape } },
    handle: async ({ caller, params, database }) => {
      const found = await findOrder(database, caller.merchantId, params.id);
      if (found === undefined) throw new InputError("not_found", "There is no such order");
      return { status: 200, body: await detailBody(parts, database, found) };
    },
  });

/** `GET /v1/deposits?orderNo=` and `GET /v1/seen-payments?orderNo=` have them all. */
const DEPOSITS_SHOWN = 100;
const SEEN_PAYMENTS_SHOWN = 20;

/** The page is made by the face for payers; this is the one thing of it that answers know. */
function answeredOrder({ http }: OrderParts, order: Order): z.infer<typeof answeredOrderShape> {
  return { ...orderBody(order), pageUrl: `${http.publicUrl.replace(/\/+$/, "")}/pay/${order.id}` };
}

async function detailBody(
  parts: OrderParts,
  sql: Sql,
  { order, pendingBaseUnits }: OrderWithPending,
): Promise<z.infer<typeof orderDetailShape>> {
  const { merchantId, address: to } = order;
  const deposits = await listDeposits(sql, { merchantId, address: to, limit: DEPOSITS_SHOWN });
  const waiting = await listSeenPayments(sql, {
    merchantId,
    address: to,
    status: "seen",
    limit: SEEN_PAYMENTS_SHOWN,
  });
  return {
    ...answeredOrder(parts, order),
    pending: formatAmount(pendingBaseUnits, order.decimals),
    pendingBaseUnits: pendingBaseUnits.toString(),
    deposits: deposits.map(({ deposit, cursorNumber }) => depositBody(deposit, cursorNumber)),
    seenPayments: waiting.map(seenPaymentBody),
  };
}
