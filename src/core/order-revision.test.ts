import { describe, expect, it } from "vitest";
import { orderEventType } from "./event.ts";
import { parseAddress } from "./hex.ts";
import { type Order, type OrderFacts, orderStatus } from "./order.ts";
import { reviseOrder } from "./order-revision.ts";

const EARLIER = new Date("2026-11-22T14:00:00Z");
const NOW = new Date("2026-11-22T14:02:00Z");

function orderOf(given: Partial<Order> = {}): Order {
  return {
    id: "ord_1",
    sequence: 0,
    status: "open",
    merchantId: "mer_test",
    orderNo: "A-1",
    userId: "alice",
    chainId: 1,
    assetId: 1,
    currency: "USDT",
    decimals: 6,
    token: null,
    amountBaseUnits: 100n,
    address: parseAddress(`0x${"11".repeat(20)}`),
    lifetimeS: 60,
    expiresAt: NOW,
    paidBaseUnits: 0n,
    lateBaseUnits: 0n,
    paidAt: null,
    createdAt: EARLIER,
    ...given,
  };
}

const facts = (paid: bigint, late = 0n, isOver = false) => ({
  paidBaseUnits: paid,
  lateBaseUnits: late,
  isOver,
});

describe("the status of an order", () => {
  const cases: readonly [string, Omit<OrderFacts, "amountBaseUnits">, string][] = [
    ["nothing came", facts(0n), "open"],
    ["one unit less than the amount came", facts(99n), "underpaid"],
    ["exactly the amount came", facts(100n), "paid"],
    ["one unit more came", facts(101n), "overpaid"],
    ["the deadline passed and nothing came", facts(0n, 0n, true), "expired"],
    ["the deadline passed and one unit is missing", facts(99n, 0n, true), "expired"],
    ["the deadline passed and the amount had come", facts(100n, 0n, true), "paid"],
    ["the amount came, all of it late", facts(0n, 100n, true), "expired"],
    ["the missing unit came late", facts(99n, 1n, true), "expired"],
    ["the amount came in time, and more of it late", facts(100n, 1n, true), "overpaid"],
    ["only something late came, while what came in time still waits", facts(0n, 5n), "open"],
  ];
  it.each(cases)("F1: when %s", (_, given, status) => {
    expect(orderStatus({ amountBaseUnits: 100n, ...given })).toBe(status);
  });
});

describe("what a change of an order is told as", () => {
  it("F6: as reopened, when it is open again or falls back to a part of its amount", () => {
    for (const from of ["paid", "overpaid", "expired"] as const) {
      expect(orderEventType(from, "open")).toBe("order.reopened");
      expect(orderEventType(from, "underpaid")).toBe("order.reopened");
    }
    expect(orderEventType("underpaid", "open")).toBe("order.reopened");
  });

  it("as its new status else, also when that is the one before", () => {
    expect(orderEventType("open", "underpaid")).toBe("order.underpaid");
    expect(orderEventType("underpaid", "underpaid")).toBe("order.underpaid");
    for (const from of ["open", "underpaid", "paid", "overpaid", "expired"] as const)
      for (const to of ["paid", "overpaid", "expired"] as const)
        expect(orderEventType(from, to)).toBe(`order.${to}`);
  });

  it("not at all, while it stays open", () => {
    expect(orderEventType("open", "open")).toBeNull();
  });
});

describe("revising an order", () => {
  it("leaves it alone when everything stands as it was told", () => {
    const order = orderOf({ status: "underpaid", sequence: 1, paidBaseUnits: 40n });
    expect(reviseOrder(order, facts(40n), NOW)).toBeNull();
  });

  it("counts up with a change of the amounts alone", () => {
    const order = orderOf({ status: "underpaid", sequence: 1, paidBaseUnits: 40n });
    expect(reviseOrder(order, facts(60n), NOW)).toEqual({
      type: "order.underpaid",
      order: { ...order, sequence: 2, paidBaseUnits: 60n },
    });
  });

  it("keeps the time at which it was paid while it is paid or overpaid, and forgets it else", () => {
    const paid = reviseOrder(orderOf(), facts(100n), EARLIER)?.order;
    expect(paid?.paidAt).toEqual(EARLIER);
    expect(reviseOrder(paid ?? orderOf(), facts(150n), NOW)?.order.paidAt).toEqual(EARLIER);
    expect(reviseOrder(paid ?? orderOf(), facts(50n), NOW)?.order.paidAt).toBeNull();
  });

  it("notes what is late of an open order without telling it", () => {
    expect(reviseOrder(orderOf(), facts(0n, 5n), NOW)).toEqual({
      type: null,
      order: orderOf({ lateBaseUnits: 5n }),
    });
  });
});
