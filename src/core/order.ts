/**
 * An order: an amount of one asset that is expected on an address of its own, until a deadline.
 *
 *   open       nothing credited yet                                      → underpaid, paid, overpaid, expired
 *   underpaid  some of it came in time                                   → paid, overpaid, expired, open
 *   paid       exactly the amount came in time                           → overpaid, underpaid, open, expired
 *   overpaid   the amount came in time, and more, in time or late        → paid, underpaid, open, expired
 *   expired    the deadline passed, and less than the amount had come    → paid, overpaid, underpaid, open
 *
 * A status follows from credited deposits alone, so a reorg that takes one back takes the status back too. In time is
 * what stands in a block whose own time is not after the deadline; when it was seen or credited makes no difference.
 */
import type { Address } from "./hex.ts";
import { USER_ID, USER_ID_RULE } from "./user-id.ts";

/** As of a user: what people cannot see is in no name. */
export const ORDER_NO = USER_ID;
export const ORDER_NO_RULE = USER_ID_RULE;

export const ORDER_STATUSES = ["open", "underpaid", "paid", "overpaid", "expired"] as const;
export type OrderStatus = (typeof ORDER_STATUSES)[number];

/** What an order's status follows from. Amounts are in base units of its asset. */
export interface OrderFacts {
  readonly amountBaseUnits: bigint;
  /** Credited deposits of its asset in blocks up to the deadline. */
  readonly paidBaseUnits: bigint;
  /** Credited deposits of its asset in later blocks. */
  readonly lateBaseUnits: bigint;
  /** The cursor's block is of a later time than the deadline, and no deposit in time still waits for its credit. */
  readonly isOver: boolean;
}

/** The one place that decides an order's status. What is late never makes an order paid; it can make it overpaid. */
export function orderStatus({
  amountBaseUnits,
  paidBaseUnits,
  lateBaseUnits,
  isOver,
}: OrderFacts): OrderStatus {
  if (paidBaseUnits >= amountBaseUnits)
    return paidBaseUnits + lateBaseUnits > amountBaseUnits ? "overpaid" : "paid";
  if (isOver) return "expired";
  return paidBaseUnits > 0n ? "underpaid" : "open";
}

/** An order as the database holds it, with the words of its asset. */
export interface Order {
  readonly id: string;
  /** Counts up with every change that is told; 0 before the first. */
  readonly sequence: number;
  readonly status: OrderStatus;
  readonly merchantId: string;
  /** The merchant's own name for it, unique for the merchant. */
  readonly orderNo: string;
  readonly userId: string;
  readonly chainId: number;
  readonly assetId: number;
  readonly currency: string;
  readonly decimals: number;
  /** `null` for the native coin. */
  readonly token: Address | null;
  readonly amountBaseUnits: bigint;
  readonly address: Address;
  /** Whole seconds, as asked for. */
  readonly lifetimeS: number;
  readonly expiresAt: Date;
  /** As told last. */
  readonly paidBaseUnits: bigint;
  readonly lateBaseUnits: bigint;
  /** When it became paid or overpaid; `null` while it is neither. */
  readonly paidAt: Date | null;
  readonly createdAt: Date;
}
