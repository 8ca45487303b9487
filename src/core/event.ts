/** Events: facts told to merchants. */
import type { DepositStatus } from "./deposit.ts";
import type { OrderStatus } from "./order.ts";

export const DEPOSIT_EVENT_TYPES = [
  "deposit.pending",
  "deposit.credited",
  "deposit.unlocked",
  "deposit.held",
  "deposit.rejected",
  "deposit.ignored",
  "deposit.orphaned",
  "deposit.reversed",
] as const satisfies readonly `deposit.${DepositStatus}`[];

/** Tells of a payment that waits in the mempool, and what became of it: `data.status` says which. */
export const SEEN_EVENT_TYPE = "deposit.seen";

export const ORDER_EVENT_TYPES = [
  "order.paid",
  "order.underpaid",
  "order.overpaid",
  "order.expired",
  "order.reopened",
] as const;
export type OrderEventType = (typeof ORDER_EVENT_TYPES)[number];

/** Every type an endpoint may name. */
export const EVENT_TYPES = [
  SEEN_EVENT_TYPE,
  ...DEPOSIT_EVENT_TYPES,
  ...ORDER_EVENT_TYPES,
  "endpoint.test",
  "endpoint.disabled",
] as const;
export type EventType = (typeof EVENT_TYPES)[number];

/**
 * What an endpoint gets that names no types. Left out are `deposit.ignored`, since anyone can make thousands of
 * them for the price of dust, and `deposit.seen`, which costs nothing at all and is no deposit: they go only to
 * those who ask by name.
 */
export const DEFAULT_EVENT_TYPES: readonly EventType[] = EVENT_TYPES.filter(
  (type) => type !== "deposit.ignored" && type !== SEEN_EVENT_TYPE,
);

export function depositEventType(status: DepositStatus): EventType {
  return `deposit.${status}`;
}

/**
 * What a change of an order is told as, be it of its status or of its amounts alone. `order.reopened`: something was
 * taken back, and less than the amount is there. `null`: it was open and still is, so that at most something late came,
 * which is told with the next change.
 */
export function orderEventType(from: OrderStatus, to: OrderStatus): OrderEventType | null {
  if (to === "open") return from === "open" ? null : "order.reopened";
  if (to === "underpaid" && from !== "open" && from !== "underpaid") return "order.reopened";
  return `order.${to}`;
}

/** The body of every callback (Standard Webhooks 1.0, "payload"). */
export interface EventBody<Data> {
  type: EventType;
  /** RFC 3339, UTC: when it happened, not when it was sent. */
  timestamp: string;
  data: Data;
}
