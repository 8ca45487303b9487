/** Deadlines of orders, by the time of blocks, against a real PostgreSQL. */
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { shellActor } from "../core/actor.ts";
import { blockOf, blockWith, CHAIN_ID, MERCHANT_ID } from "../testing/factory.ts";
import { HOLD_ALL } from "../testing/holds.ts";
import { AMOUNT, createOrderedChain, type OrderedChain, payment, timeOf } from "../testing/ordered-chain.ts";
import { reviewDeposit } from "./review-deposits.ts";
import { settleDeposits } from "./settle-deposits.ts";

let chain: OrderedChain;
beforeEach(async () => {
  chain = await createOrderedChain();
});
afterEach(() => chain.end());

describe("the deadline", () => {
  it.each([
    ["F2: is kept by a block one second before it", 1],
    ["F2: is kept by a block at that very second", 0],
  ])("%s, though the credit comes after it", async (_, seconds) => {
    const id = await chain.order(timeOf(1, seconds));
    await chain.ingest(blockOf(0), blockWith(blockOf(1), [payment(AMOUNT, "0")]));
    await chain.deepen(blockOf(1), 3);
    expect(await chain.expire()).toBe(0);
    await chain.settle();
    expect(await chain.expire()).toBe(0);
    expect(await chain.orderMoves(id)).toEqual(["1 paid"]);
  });

  it("F2: is missed by a block one second after it, whose payment is the user's and is told as late", async () => {
    const id = await chain.order(timeOf(1, -1));
    await chain.credit(AMOUNT);
    expect(await chain.orderMoves(id)).toEqual(["1 expired"]);
    expect(await chain.find(id)).toMatchObject({ paidBaseUnits: 0n, lateBaseUnits: AMOUNT, paidAt: null });
    expect(await chain.balanceOf("payer")).toEqual([[AMOUNT, 0n]]);
  });

  it("F2: has passed when the cursor is at a later block, and not before", async () => {
    const id = await chain.order(timeOf(2));
    await chain.deepen(blockOf(0), 2);
    expect(await chain.expire()).toBe(0);
    await chain.deepen(blockOf(2), 3);
    expect(await chain.expire()).toBe(1);
    expect(await chain.expire()).toBe(0);
    expect(await chain.orderMoves(id)).toEqual(["1 expired"]);
  });

  it("F2: has not passed for a part that is credited with the cursor at that very second", async () => {
    const id = await chain.order(timeOf(3));
    await chain.credit(400n);
    expect(await chain.orderMoves(id)).toEqual(["1 underpaid"]);
  });

  it("F2: ends an underpaid order, and counts what is late of it apart", async () => {
    const id = await chain.order(timeOf(4));
    await chain.credit(400n);
    await chain.deepen(blockOf(3), 5);
    expect(await chain.expire()).toBe(1);
    expect(await chain.find(id)).toMatchObject({ status: "expired", paidBaseUnits: 400n });
    await chain.ingest(blockOf(5), blockWith(blockOf(6), [payment(600n, "late")]));
    await chain.deepen(blockOf(6), 8);
    await chain.settle();
    expect(await chain.orderMoves(id)).toEqual(["1 underpaid", "2 expired", "3 expired"]);
    expect(await chain.find(id)).toMatchObject({ paidBaseUnits: 400n, lateBaseUnits: 600n, paidAt: null });
  });

  it("F5: makes a late second payment of a paid order overpay it", async () => {
    const id = await chain.order(timeOf(3));
    await chain.credit(AMOUNT);
    await chain.ingest(blockOf(3), blockWith(blockOf(4), [payment(1n + 99n, "late")]));
    await chain.deepen(blockOf(4), 6);
    await chain.settle();
    expect(await chain.expire()).toBe(0);
    expect(await chain.orderMoves(id)).toEqual(["1 paid", "2 overpaid"]);
    expect(await chain.find(id)).toMatchObject({ paidBaseUnits: AMOUNT, lateBaseUnits: 100n });
  });

  it("F2: waits for what came in time and is credited after something late, which is told with it", async () => {
    const id = await chain.order(timeOf(1));
    const { deposits } = await chain.ingest(blockOf(0), blockWith(blockOf(1), [payment(AMOUNT, "0")]));
    await chain.ingest(blockOf(1), blockWith(blockOf(2), [payment(100n, "late")]));
    await chain.deepen(blockOf(2), 4);
    await chain.test.database.transaction(async (tx) => {
      await tx.query("SELECT FROM deposits WHERE id = $1 FOR UPDATE", [deposits[0]?.id]);
      await chain.settle();
    });
    expect(await chain.find(id)).toMatchObject({ status: "open", sequence: 0, lateBaseUnits: 100n });
    expect(await chain.expire()).toBe(0);
    await chain.settle();
    expect(await chain.orderMoves(id)).toEqual(["1 overpaid"]);
  });

  /** A payment in time, held as the deadline passes. */
  async function heldOverDeadline(): Promise<{ id: string; depositId: string }> {
    const id = await chain.order(timeOf(2));
    const { deposits } = await chain.ingest(blockOf(0), blockWith(blockOf(1), [payment(AMOUNT, "0")]));
    await chain.deepen(blockOf(1), 9);
    await settleDeposits(chain.test.database, CHAIN_ID, undefined, HOLD_ALL);
    expect(await chain.statuses()).toEqual(["held"]);
    expect(await chain.expire()).toBe(0);
    return { id, depositId: deposits[0]?.id ?? "" };
  }
  const review = (depositId: string, act: "release" | "reject") =>
    reviewDeposit(
      chain.test.database,
      { depositId, act, actor: shellActor("root"), note: "looked at" },
      { fourEyes: false },
    );

  it("F2: waits for a review, and is kept by what is released after it", async () => {
    const { id, depositId } = await heldOverDeadline();
    await review(depositId, "release");
    expect(await chain.orderMoves(id)).toEqual(["1 paid"]);
  });

  it("F2: ends an order whose payment was rejected", async () => {
    const { id, depositId } = await heldOverDeadline();
    await review(depositId, "reject");
    expect(await chain.expire()).toBe(1);
    expect(await chain.orderMoves(id)).toEqual(["1 expired"]);
  });

  it("ends more orders than one batch holds, and leaves those of a later deadline and of a halted chain", async () => {
    const { database } = chain.test;
    await database.query(
      "INSERT INTO watched_addresses (address, merchant_id, user_id) SELECT " +
        "decode(lpad(to_hex(n), 40, '0'), 'hex'), $1, 'many' FROM generate_series(1, 2500) n",
      [MERCHANT_ID],
    );
    await database.query(
      `INSERT INTO orders (id, merchant_id, order_no, user_id, chain_id, asset_id, amount, address, lifetime_s, expires_at)
       SELECT 'ord_' || n, $1, n::text, 'many', $2, $3, 5, decode(lpad(to_hex(n), 40, '0'), 'hex'), 60,
         CASE WHEN n <= 2400 THEN $4::timestamptz ELSE $5 END
       FROM generate_series(1, 2500) n`,
      [MERCHANT_ID, CHAIN_ID, chain.assets[0]?.id, timeOf(1), timeOf(50)],
    );
    await chain.deepen(blockOf(0), 2);
    await database.query("UPDATE chains SET state = 'halted', state_reason = 'a test'");
    expect(await chain.expire()).toBe(0);
    await database.query("UPDATE chains SET state = 'following', state_reason = NULL");
    expect((await Promise.all([chain.expire(), chain.expire()])).reduce((a, b) => a + b)).toBe(2400);
    const rows = await database.query("SELECT status, count(*)::int FROM orders GROUP BY 1 ORDER BY 1");
    expect(rows).toEqual([
      { status: "expired", count: 2400 },
      { status: "open", count: 100 },
    ]);
  });
});
