/** An order as programs outside see it: the same shape in the API's answers and in callbacks. */
import { formatAmount } from "./amount.ts";
import { checksumAddress } from "./hex.ts";
import type { Order, OrderStatus } from "./order.ts";
import { paymentUri } from "./payment-uri.ts";

export interface OrderBody {
  id: string;
  sequence: number;
  status: OrderStatus;
  merchantId: string;
  userId: string;
  orderNo: string;
  chainId: number;
  currency: string;
  token: string | null;
  decimals: number;
  amount: string;
  amountBaseUnits: string;
  address: string;
  paymentUri: string;
  /** Credited, in blocks up to the deadline. */
  paid: string;
  paidBaseUnits: string;
  /** Credited, in later blocks. */
  late: string;
  lateBaseUnits: string;
  /** What is missing to the amount; what is late does not count. */
  remaining: string;
  remainingBaseUnits: string;
  expiresAt: string;
  paidAt: string | null;
  createdAt: string;
}

export function orderBody(order: Order): OrderBody {
  const { decimals, amountBaseUnits, paidBaseUnits, lateBaseUnits } = order;
  const remaining = amountBaseUnits > paidBaseUnits ? amountBaseUnits - paidBaseUnits : 0n;
  return {
    id: order.id,
    sequence: order.sequence,
    status: order.status,
    merchantId: order.merchantId,
    userId: order.userId,
    orderNo: order.orderNo,
    chainId: order.chainId,
    currency: order.currency,
    token: order.token === null ? null : checksumAddress(order.token),
    decimals,
    amount: formatAmount(amountBaseUnits, decimals),
    amountBaseUnits: amountBaseUnits.toString(),
    address: checksumAddress(order.address),
    paymentUri: paymentUri(order),
    paid: formatAmount(paidBaseUnits, decimals),
    paidBaseUnits: paidBaseUnits.toString(),
    late: formatAmount(lateBaseUnits, decimals),
    lateBaseUnits: lateBaseUnits.toString(),
    remaining: formatAmount(remaining, decimals),
    remainingBaseUnits: remaining.toString(),
    expiresAt: order.expiresAt.toISOString(),
    paidAt: order.paidAt?.toISOString() ?? null,
    createdAt: order.createdAt.toISOString(),
  };
}
