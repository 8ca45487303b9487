/** What becomes of an order when its deposits are looked at again. */
import { type OrderEventType, orderEventType } from "./event.ts";
import { type Order, type OrderFacts, orderStatus } from "./order.ts";

export interface OrderRevision {
  /** As it is afterwards. */
  readonly order: Order;
  /** What it is told as; `null`: not at all, and its `sequence` stays. */
  readonly type: OrderEventType | null;
}

/**
 * @param facts read after the order was locked
 * @param at the transaction's time
 * @returns `null`: everything stands as it was told
 */
export function reviseOrder(
  before: Order,
  { paidBaseUnits, lateBaseUnits, isOver }: Omit<OrderFacts, "amountBaseUnits">,
  at: Date,
): OrderRevision | null {
  const { amountBaseUnits } = before;
  const status = orderStatus({ amountBaseUnits, paidBaseUnits, lateBaseUnits, isOver });
  const isSame =
    status === before.status &&
    paidBaseUnits === before.paidBaseUnits &&
    lateBaseUnits === before.lateBaseUnits;
  if (isSame) return null;
  const type = orderEventType(before.status, status);
  const isPaid = status === "paid" || status === "overpaid";
  return {
    type,
    order: {
      ...before,
      status,
      sequence: type === null ? before.sequence : before.sequence + 1,
      paidBaseUnits,
      lateBaseUnits,
      paidAt: isPaid ? (before.paidAt ?? at) : null,
    },
  };
}
