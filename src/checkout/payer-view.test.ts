import { describe, expect, test } from "vitest";
import type { Order } from "../core/order.ts";
import type { PayerOrder } from "../orders/payer-store.ts";
import { addressOf, assetOf, USDT } from "../testing/factory.ts";
import { payerView } from "./payer-view.ts";

const EXPIRES_AT = new Date("2026-01-01T12:00:00Z");
const ASSET = {
  ...assetOf({ token: USDT, currency: "USDT", decimals: 6, minimumBaseUnits: 1_000_000n }),
  id: 7,
};

const ORDER: Order = {
  id: "ord_1",
  sequence: 0,
  status: "open",
  merchantId: "mer_1",
  orderNo: "A-1",
  userId: "alice",
  chainId: ASSET.chainId,
  assetId: ASSET.id,
  currency: "USDT",
  decimals: 6,
  token: USDT,
  amountBaseUnits: 12_500_000n,
  address: addressOf("order"),
  lifetimeS: 3600,
  expiresAt: EXPIRES_AT,
  paidBaseUnits: 0n,
  lateBaseUnits: 0n,
  paidAt: null,
  createdAt: new Date("2026-01-01T11:00:00Z"),
};

const usdt = (amount: number) => BigInt(Math.round(amount * 1_000_000));
const viewOf = (
  order: Partial<Order> = {},
  more: Partial<PayerOrder> = {},
  asset: typeof ASSET | null = ASSET,
) =>
  payerView(
    {
      order: { ...ORDER, ...order },
      chainName: "local",
      pendingBaseUnits: 0n,
      waiting: null,
      seenBaseUnits: 0n,
      now: new Date("2026-01-01T11:30:00.500Z"),
      ...more,
    },
    asset ?? undefined,
  );

describe("a payer is asked to pay", () => {
  test("the amount while nothing has come", () => {
    const view = viewOf();
    expect(view).toMatchObject({ phase: "waiting", message: "Waiting for your payment.", secondsLeft: 1800 });
    expect(view.toPay?.amount).toBe("12.5");
    expect(view.toPay?.uri).toMatch(/^ethereum:0x\w+@31337\/transfer\?address=0x\w+&uint256=12500000$/);
  });

  test.each<[string, Partial<Order>, Partial<PayerOrder>, string, string, string]>([
    [
      "credited",
      { status: "underpaid", paidBaseUnits: usdt(5) },
      {},
      "underpaid",
      "7.5",
      "5 USDT arrived. 7.5 USDT missing.",
    ],
    [
      "in a block",
      {},
      { pendingBaseUnits: usdt(5), waiting: { depth: 2, creditAt: "12" } },
      "underpaid",
      "7.5",
      "5 USDT on the way (2 of 12 confirmations). 7.5 USDT missing.",
    ],
    [
      "in the mempool",
      {},
      { seenBaseUnits: usdt(5) },
      "waiting",
      "7.5",
      "5 USDT seen, not in a block yet. 7.5 USDT missing.",
    ],
    [
      "on every way at once",
      { status: "underpaid", paidBaseUnits: usdt(5) },
      { pendingBaseUnits: usdt(3), seenBaseUnits: usdt(2) },
      "underpaid",
      "2.5",
      "5 USDT arrived. 3 USDT on the way. 2 USDT seen, not in a block yet. 2.5 USDT missing.",
    ],
  ])("what is missing when a part is %s", (_where, order, more, phase, amount, message) => {
    const view = viewOf(order, more);
    expect(view).toMatchObject({ phase, message });
    expect(view.toPay?.amount).toBe(amount);
    expect(view.toPay?.uri).toContain(`uint256=${usdt(Number(amount))}`);
  });
});

describe("a payer is asked to pay nothing", () => {
  const whole = usdt(12.5);
  test.each<[string, Partial<Order>, Partial<PayerOrder>, string, string]>([
    ["enough waits in the mempool", {}, { seenBaseUnits: whole }, "seen", "Do not pay again"],
    [
      "enough is in blocks",
      {},
      { pendingBaseUnits: whole, waiting: { depth: 30, creditAt: "12 and safe" } },
      "confirming",
      "(12 of 12 confirmations). Do not pay again",
    ],
    [
      "enough is in blocks, and the time is over",
      {},
      { pendingBaseUnits: whole, now: EXPIRES_AT },
      "confirming",
      "Do not pay again",
    ],
    ["it is paid", { status: "paid", paidBaseUnits: whole }, {}, "paid", "Paid: 12.5 USDT"],
    [
      "it is overpaid",
      { status: "overpaid", paidBaseUnits: whole + 1n, lateBaseUnits: usdt(2) },
      {},
      "overpaid",
      "12.500001 USDT arrived. 2 USDT arrived late.",
    ],
    [
      "it is expired",
      { status: "expired", lateBaseUnits: usdt(12.5) },
      {},
      "expired",
      "Do not pay any more. 12.5 USDT arrived late.",
    ],
    [
      "its time is over, though no block said so yet",
      {},
      { now: EXPIRES_AT },
      "expired",
      "Do not pay any more",
    ],
    [
      "its time is over with less on the way",
      {},
      { now: EXPIRES_AT, pendingBaseUnits: usdt(5) },
      "expired",
      "5 USDT on the way",
    ],
    [
      "what is missing is less than counts",
      { status: "underpaid", paidBaseUnits: usdt(12) },
      {},
      "underpaid",
      "0.5 USDT missing, which cannot be paid here. Ask the shop",
    ],
  ])("when %s", (_when, order, more, phase, message) => {
    const view = viewOf(order, more);
    expect(view).toMatchObject({ phase, toPay: null });
    expect(view.message).toContain(message);
  });

  test("when the currency is not listed any more", () => {
    expect(viewOf({}, {}, null)).toMatchObject({ phase: "waiting", toPay: null });
  });
});

test("a threshold that is no depth has no confirmations to count", () => {
  const pendingBaseUnits = usdt(5);
  const countedAt = (creditAt: string, depth = 3) =>
    viewOf({}, { pendingBaseUnits, waiting: { depth, creditAt } }).confirmations;
  expect(countedAt("finalized")).toBeNull();
  expect(countedAt("12")).toEqual({ have: 3, need: 12 });
  expect(countedAt("12", -1)).toEqual({ have: 0, need: 12 });
});
