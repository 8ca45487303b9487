/** One event of each type, made by the code that makes them. */
import type { Deposit, DepositStatus } from "../../src/core/deposit.ts";
import {
  DEPOSIT_EVENT_TYPES,
  EVENT_TYPES,
  type EventType,
  ORDER_EVENT_TYPES,
  type OrderEventType,
  SEEN_EVENT_TYPE,
} from "../../src/core/event.ts";
import { parseAddress, parseHash } from "../../src/core/hex.ts";
import type { Order } from "../../src/core/order.ts";
import type { SeenPayment } from "../../src/core/seen-payment.ts";
import { depositEvent } from "../../src/outbox/deposit-event.ts";
import { orderEvent } from "../../src/outbox/order-event.ts";
import { seenEvent } from "../../src/outbox/seen-event.ts";

const CREDITED_AT = new Date("2026-11-22T14:02:24.118Z");
const UNLOCKED_AT = new Date("2026-11-22T14:15:36.307Z");

/** The deposit of the example, as it is after the move to `credited`. */
export const exampleDeposit: Deposit = {
  id: "dep_7kq2v9c4m1x8zr5t0hjw3ynb6gd2s4fa",
  sequence: 2,
  generation: 1,
  status: "credited",
  reason: null,
  merchantId: "mer_0c9a51e1b9a64f2f7b11",
  userId: "alice",
  orderNo: null,
  chainId: 1,
  assetId: 1,
  currency: "USDT",
  decimals: 6,
  token: parseAddress("0xdac17f958d2ee523a2206206994597c13d831ec7"),
  amountBaseUnits: 12_500_000n,
  eventAmountBaseUnits: null,
  balanceNodes: null,
  measureProblem: null,
  from: parseAddress("0x28c6c06298d514db089934071355e5743bf21d60"),
  to: parseAddress("0x52908400098527886e0f7030069857d2e4169ee7"),
  sender: parseAddress("0x28c6c06298d514db089934071355e5743bf21d60"),
  txHash: parseHash("0x9fc76417374aa880d4449a1f7f31ec597f00b1f6f3dd2d66f4c9c6c445836d8b"),
  source: "log:0",
  blockNumber: 23_456_789n,
  blockHash: parseHash("0x3b3ae5fa8ee7d0b2b9f2ab5c0a2f1a4a3b6f8f1f3f4e5d6c7b8a99887766554a"),
  blockTime: new Date("2026-11-22T14:00:11Z"),
  verification: "proved",
  creditAt: "12",
  unlockAt: "finalized",
  detectedAt: new Date("2026-11-22T14:00:12.402Z"),
  creditedAt: CREDITED_AT,
  unlockedAt: null,
  shortfallBaseUnits: null,
};

/** The same payment while it waited, told of as it was mined. */
const exampleSeenPayment: SeenPayment = {
  id: "see_3m8w1t6k9r2d5xq7c0hjn4yvb8gz6s2f",
  sequence: 2,
  status: "mined",
  merchantId: exampleDeposit.merchantId,
  userId: exampleDeposit.userId,
  orderNo: exampleDeposit.orderNo,
  chainId: exampleDeposit.chainId,
  currency: "USDT",
  decimals: 6,
  token: exampleDeposit.token,
  amountBaseUnits: exampleDeposit.amountBaseUnits,
  from: exampleDeposit.from,
  to: exampleDeposit.to,
  sender: exampleDeposit.from,
  nonce: 1402n,
  txHash: parseHash("0x9fc76417374aa880d4449a1f7f31ec597f00b1f6f3dd2d66f4c9c6c445836d8b"),
  source: "call",
  creditAt: "12",
  unlockAt: "finalized",
  replacedBy: null,
  block: { number: exampleDeposit.blockNumber, hash: exampleDeposit.blockHash },
  depositIds: [exampleDeposit.id],
  detectedAt: new Date("2026-11-22T14:00:03.217Z"),
  changedAt: new Date("2026-11-22T14:00:12.530Z"),
};

interface Moment {
  readonly deposit: Partial<Deposit>;
  /** The depth of its block. */
  readonly depth: bigint;
  readonly at: Date;
}

const BEFORE_CREDIT = { sequence: 1, creditedAt: null };
const SEEN_AT = exampleDeposit.detectedAt;
const LATER = new Date("2026-11-22T14:01:48.550Z");

const MOMENTS: Readonly<Record<DepositStatus, Moment>> = {
  pending: { deposit: BEFORE_CREDIT, depth: 1n, at: SEEN_AT },
  credited: { deposit: {}, depth: 12n, at: CREDITED_AT },
  unlocked: { deposit: { sequence: 3, unlockedAt: UNLOCKED_AT }, depth: 78n, at: UNLOCKED_AT },
  held: { deposit: { ...BEFORE_CREDIT, sequence: 2 }, depth: 12n, at: CREDITED_AT },
  rejected: { deposit: { ...BEFORE_CREDIT, sequence: 3 }, depth: 78n, at: UNLOCKED_AT },
  ignored: {
    deposit: {
      ...BEFORE_CREDIT,
      reason: "below_minimum",
      amountBaseUnits: 10_000n,
      creditAt: null,
      unlockAt: null,
    },
    depth: 1n,
    at: SEEN_AT,
  },
  orphaned: { deposit: { ...BEFORE_CREDIT, sequence: 2 }, depth: 0n, at: LATER },
  reversed: { deposit: { sequence: 3, shortfallBaseUnits: 2_500_000n }, depth: 0n, at: UNLOCKED_AT },
};

/** The order of the example, as it is after it was paid. */
const exampleOrder: Order = {
  id: "ord_5f8c1c6a9d2e4b7f0a3c5e8d1b4a7f2c9e6d3b05",
  sequence: 2,
  status: "paid",
  merchantId: exampleDeposit.merchantId,
  userId: exampleDeposit.userId,
  orderNo: "A-1001",
  chainId: 1,
  assetId: 1,
  currency: "USDT",
  decimals: 6,
  token: exampleDeposit.token,
  amountBaseUnits: 12_500_000n,
  address: parseAddress("0x8617e340b3d01fa5f11f306f4090fd50e238070d"),
  lifetimeS: 1_800,
  expiresAt: new Date("2026-11-22T14:25:40.000Z"),
  paidBaseUnits: 12_500_000n,
  lateBaseUnits: 0n,
  paidAt: CREDITED_AT,
  createdAt: new Date("2026-11-22T13:55:40.000Z"),
};

const EXPIRED_AT = new Date("2026-11-22T14:25:48.204Z");
const LESS_PAID = { paidBaseUnits: 10_000_000n, paidAt: null } as const;

const ORDER_MOMENTS: Readonly<Record<OrderEventType, { order: Partial<Order>; at: Date }>> = {
  "order.paid": { order: {}, at: CREDITED_AT },
  "order.underpaid": { order: { ...LESS_PAID, status: "underpaid", sequence: 1 }, at: LATER },
  "order.overpaid": {
    order: { status: "overpaid", sequence: 3, paidBaseUnits: 15_000_000n },
    at: UNLOCKED_AT,
  },
  "order.expired": {
    order: { ...LESS_PAID, status: "expired", lateBaseUnits: 2_500_000n, sequence: 3 },
    at: EXPIRED_AT,
  },
  "order.reopened": { order: { ...LESS_PAID, status: "underpaid", sequence: 3 }, at: UNLOCKED_AT },
};

const ENDPOINT_EXAMPLES: Partial<Record<EventType, Record<string, unknown>>> = {
  "endpoint.test": { endpointId: "end_5f0c2b7e9a1d4c6f8b30" },
  "endpoint.disabled": {
    endpointId: "end_5f0c2b7e9a1d4c6f8b30",
    url: "https://example.com/callbacks",
    reason: "failing",
    failingSince: "2026-11-17T02:11:09.000Z",
  },
};

export interface EventExample {
  readonly type: EventType;
  readonly body: Readonly<Record<string, unknown>>;
}

export function eventExamples(): EventExample[] {
  return EVENT_TYPES.map((type) => ({ type, body: bodyOf(type) }));
}

function bodyOf(type: EventType): Record<string, unknown> {
  const status = (Object.keys(MOMENTS) as DepositStatus[]).find((each) => type === `deposit.${each}`);
  if (status !== undefined) return depositBodyOf(status);
  if (type === SEEN_EVENT_TYPE)
    return JSON.parse(seenEvent(exampleSeenPayment).body) as Record<string, unknown>;
  const orderType = ORDER_EVENT_TYPES.find((each) => each === type);
  if (orderType !== undefined) return orderBodyOf(orderType);
  const data = ENDPOINT_EXAMPLES[type];
  if (data === undefined || DEPOSIT_EVENT_TYPES.some((each) => each === type))
    throw new Error(`scripts/event-docs/examples.ts has no example of ${type}`);
  return { type, timestamp: CREDITED_AT.toISOString(), data };
}

function orderBodyOf(type: OrderEventType): Record<string, unknown> {
  const { order, at } = ORDER_MOMENTS[type];
  return JSON.parse(orderEvent({ ...exampleOrder, ...order }, type, at).body) as Record<string, unknown>;
}

function depositBodyOf(status: DepositStatus): Record<string, unknown> {
  const { deposit, depth, at } = MOMENTS[status];
  const moved: Deposit = { ...exampleDeposit, ...deposit, status };
  return JSON.parse(depositEvent(moved, moved.blockNumber + depth - 1n, at).body) as Record<string, unknown>;
}
