/** What deposits and reorgs do to orders, against a real PostgreSQL, with hand-made blocks. */
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { shellActor } from "../core/actor.ts";
import { DEFAULT_EVENT_TYPES } from "../core/event.ts";
import { registerAssets } from "../deposits/asset-store.ts";
import { registerChain } from "../scanner/chain-store.ts";
import {
  addressOf,
  assetOf,
  blockOf,
  blockWith,
  CHAIN_ID,
  MERCHANT_ID,
  transferOf,
  USDT,
} from "../testing/factory.ts";
import {
  AMOUNT,
  createOrderedChain,
  type OrderedChain,
  payment,
  shop,
  timeOf,
} from "../testing/ordered-chain.ts";
import { insertOrder } from "../testing/orders.ts";
import { watchedDatabase } from "../testing/watched-database.ts";
import { resumeChain } from "./resume-chain.ts";
import { settleDeposits } from "./settle-deposits.ts";

let chain: OrderedChain;
beforeEach(async () => {
  chain = await createOrderedChain();
});
afterEach(() => chain.end());

describe("paying an order", () => {
  it.each([
    ["F1: is paid by exactly its amount", AMOUNT, "paid"],
    ["F1: is underpaid by one unit less", AMOUNT - 1n, "underpaid"],
    ["F1: is overpaid by one unit more", AMOUNT + 1n, "overpaid"],
  ])("%s", async (_, amount, status) => {
    const id = await chain.order();
    await chain.credit(amount);
    expect(await chain.find(id)).toMatchObject({
      status,
      sequence: 1,
      paidBaseUnits: amount,
      lateBaseUnits: 0n,
    });
    expect(await chain.orderMoves(id)).toEqual([`1 ${status}`]);
  });

  it("F1: adds up parts, those of one batch to one change", async () => {
    const id = await chain.order();
    await chain.credit(300n, 300n);
    expect(await chain.orderMoves(id)).toEqual(["1 underpaid"]);
    await chain.ingest(blockOf(3), blockWith(blockOf(4), [payment(399n, "third")]));
    await chain.ingest(blockOf(4), blockWith(blockOf(5), [payment(100n, "fourth"), payment(100n, "fifth")]));
    await chain.deepen(blockOf(5), 6);
    await chain.settle();
    expect(await chain.find(id)).toMatchObject({ status: "underpaid", paidBaseUnits: 999n, paidAt: null });
    await chain.deepen(blockOf(6), 7);
    await chain.settle();
    expect(await chain.orderMoves(id)).toEqual(["1 underpaid", "2 underpaid", "3 overpaid"]);
    expect(await chain.find(id)).toMatchObject({ paidBaseUnits: 1_199n, paidAt: expect.any(Date) });
  });

  it("changes nothing before the credit, and nothing again at the unlock", async () => {
    const id = await chain.order();
    await chain.ingest(blockOf(0), blockWith(blockOf(1), [payment(AMOUNT, "0")]));
    await chain.deepen(blockOf(1), 2);
    await chain.settle();
    expect(await chain.find(id)).toMatchObject({ status: "open", sequence: 0 });
    await chain.deepen(blockOf(2), 8);
    await chain.settle();
    expect(await chain.statuses()).toEqual(["unlocked"]);
    expect(await chain.orderMoves(id)).toEqual(["1 paid"]);
  });

  it("tells of the deposit first, to an endpoint that named no types", async () => {
    await chain.test.database.query(
      `INSERT INTO endpoints (id, merchant_id, url, events, secret) VALUES ('end_1', $1, 'http://127.0.0.1', $2, '\\x00')`,
      [MERCHANT_ID, DEFAULT_EVENT_TYPES],
    );
    const id = await chain.order();
    await chain.credit(AMOUNT);
    const told = await chain.test.database.query(
      `SELECT e.type, e.body::jsonb #>> '{data,orderNo}' AS order_no, e.body::jsonb #>> '{data,status}' AS status
       FROM deliveries v JOIN events e ON e.id = v.event_id ORDER BY e.xid, e.id`,
    );
    expect(told).toEqual([
      { type: "deposit.pending", order_no: "A-1", status: "pending" },
      { type: "deposit.credited", order_no: "A-1", status: "credited" },
      { type: "order.paid", order_no: "A-1", status: "paid" },
    ]);
    expect(await chain.find(id)).toMatchObject({ userId: "payer" });
    expect(await chain.balanceOf("payer")).toEqual([[AMOUNT, 0n]]);
  });

  it("F5: is overpaid by a second payment, which is the user's like any other", async () => {
    const id = await chain.order();
    await chain.credit(AMOUNT);
    const paidAt = (await chain.find(id)).paidAt;
    await chain.ingest(blockOf(3), blockWith(blockOf(4), [payment(AMOUNT, "again")]));
    await chain.deepen(blockOf(4), 6);
    await chain.settle();
    expect(await chain.orderMoves(id)).toEqual(["1 paid", "2 overpaid"]);
    expect(await chain.find(id)).toMatchObject({ paidBaseUnits: 2n * AMOUNT, lateBaseUnits: 0n, paidAt });
    expect(await chain.balanceOf("payer")).toEqual([[AMOUNT, AMOUNT]]);
  });

  it("A12: adds up amounts to more than one amount can be", async () => {
    const most = 2n ** 256n - 1n;
    const id = await chain.order(timeOf(100), most);
    await chain.credit(most, most);
    expect(await chain.find(id)).toMatchObject({ status: "overpaid", paidBaseUnits: 2n * most });
  });

  it("asks the database nothing of orders where no deposit was made for one", async () => {
    await chain.order();
    await chain.ingest(blockOf(0), blockWith(blockOf(1), [transferOf({ to: addressOf("alice"), tx: "1" })]));
    await chain.deepen(blockOf(1), 3);
    const asked: string[] = [];
    await settleDeposits(
      watchedDatabase(chain.test.database, async (text) => void asked.push(text)),
      CHAIN_ID,
    );
    expect(await chain.statuses()).toEqual(["credited"]);
    expect(asked.filter((text) => /\borders\b/.test(text))).toEqual([]);
  });
});

describe("a reorg", () => {
  it("F6: reopens an order whose payment it took back, and that is paid again on the new branch", async () => {
    const id = await chain.order();
    await chain.credit(AMOUNT);
    await chain.undo(blockOf(3), blockOf(0));
    expect(await chain.orderMoves(id)).toEqual(["1 paid", "2 reopened"]);
    expect(await chain.find(id)).toMatchObject({ status: "open", paidBaseUnits: 0n, paidAt: null });
    await chain.ingest(blockOf(0), blockWith(blockOf(1, "B", "A")));
    await chain.ingest(blockOf(1, "B"), blockWith(blockOf(2, "B"), [payment(AMOUNT, "0")]));
    await chain.deepen(blockOf(2, "B"), 4, "B");
    await chain.settle();
    expect(await chain.orderMoves(id)).toEqual(["1 paid", "2 reopened", "3 paid"]);
  });

  it("F6: lets an order fall back to what is left of its parts", async () => {
    const id = await chain.order();
    await chain.credit(400n);
    await chain.ingest(blockOf(3), blockWith(blockOf(4), [payment(600n, "second")]));
    await chain.ingest(blockOf(4), blockWith(blockOf(5), [payment(500n, "third")]));
    await chain.deepen(blockOf(5), 7);
    await chain.settle();
    await chain.undo(blockOf(7), blockOf(4));
    expect(await chain.find(id)).toMatchObject({ status: "paid", paidBaseUnits: AMOUNT });
    await chain.undo(blockOf(4), blockOf(3));
    expect(await chain.find(id)).toMatchObject({ status: "underpaid", paidBaseUnits: 400n, paidAt: null });
    expect(await chain.orderMoves(id)).toEqual(["1 underpaid", "2 overpaid", "3 paid", "4 reopened"]);
  });

  it("F6: counts a payment by its block on the new branch: another amount, and late there", async () => {
    const id = await chain.order(timeOf(1));
    await chain.credit(AMOUNT);
    await chain.undo(blockOf(3), blockOf(0));
    await chain.ingest(blockOf(0), blockWith(blockOf(1, "B", "A")));
    await chain.ingest(blockOf(1, "B"), blockWith(blockOf(2, "B"), [payment(700n, "0")]));
    expect(await chain.expire()).toBe(1);
    await chain.deepen(blockOf(2, "B"), 4, "B");
    await chain.settle();
    expect(await chain.orderMoves(id)).toEqual(["1 paid", "2 reopened", "3 expired", "4 expired"]);
    expect(await chain.find(id)).toMatchObject({ paidBaseUnits: 0n, lateBaseUnits: 700n });
  });

  it("F6: reopens an order when an operator resumes a halted chain below its payment", async () => {
    const id = await chain.order();
    await chain.credit(AMOUNT);
    await chain.test.database.query("UPDATE chains SET state = 'halted', state_reason = 'a test'");
    const nodes = { chainId: CHAIN_ID, headerByNumber: async (number: bigint) => blockOf(Number(number)) };
    await resumeChain({ database: chain.test.database, nodes, actor: shellActor("root") }, 1n);
    expect(await chain.statuses()).toEqual(["reversed"]);
    expect(await chain.orderMoves(id)).toEqual(["1 paid", "2 reopened"]);
  });

  it("leaves an order alone whose payment was not credited yet", async () => {
    const id = await chain.order();
    await chain.ingest(blockOf(0), blockWith(blockOf(1), [payment(AMOUNT, "0")]));
    await chain.undo(blockOf(1), blockOf(0));
    expect(await chain.statuses()).toEqual(["orphaned"]);
    expect(await chain.find(id)).toMatchObject({ status: "open", sequence: 0 });
  });
});

describe("what an order does not expect", () => {
  const bodies = async (type: string) => {
    const rows = await chain.test.database.query<{ body: string }>(
      "SELECT body FROM events WHERE type = $1",
      [type],
    );
    return rows.map(({ body }) => JSON.parse(body).data as Record<string, unknown>);
  };

  it("F3: credits another token to the user, told with the order's number, and leaves the order alone", async () => {
    const id = await chain.order();
    const listed = transferOf({ to: shop, tx: "1", source: "log:0", token: USDT, amountBaseUnits: AMOUNT });
    const unlisted = { ...listed, source: "log:1", token: addressOf("some token") } as const;
    await chain.ingest(blockOf(0), blockWith(blockOf(1), [listed, unlisted]));
    await chain.deepen(blockOf(1), 3);
    await chain.settle();
    expect(await chain.find(id)).toMatchObject({ status: "open", sequence: 0, paidBaseUnits: 0n });
    expect(await chain.orderMoves(id)).toEqual([]);
    expect(await chain.balanceOf("payer")).toEqual([[AMOUNT, 0n]]);
    expect(await bodies("deposit.credited")).toMatchObject([
      { orderNo: "A-1", currency: "USDT", userId: "payer" },
    ]);
    expect(await bodies("deposit.ignored")).toMatchObject([{ orderNo: "A-1", reason: "unlisted_asset" }]);
    await chain.ingest(blockOf(3), blockWith(blockOf(4), [payment(AMOUNT, "2")]));
    await chain.deepen(blockOf(4), 6);
    await chain.settle();
    expect(await chain.orderMoves(id)).toEqual(["1 paid"]);
  });

  it("F3: credits the right currency on the wrong chain to the user, and leaves the order alone", async () => {
    const { database } = chain.test;
    await registerChain(database, 2, "elsewhere");
    const [elsewhere] = await registerAssets(database, [assetOf({ chainId: 2 })]);
    if (elsewhere === undefined) throw new Error("There is no asset");
    const wanted = { orderNo: "A-1", amountBaseUnits: AMOUNT, expiresAt: timeOf(100) };
    const id = await insertOrder(database, { ...wanted, asset: { id: elsewhere.id, chainId: 2 } });
    await chain.credit(AMOUNT);
    expect(await chain.find(id)).toMatchObject({ status: "open", sequence: 0, paidBaseUnits: 0n });
    expect(await chain.balanceOf("payer")).toEqual([[AMOUNT, 0n]]);
    expect(await bodies("deposit.credited")).toMatchObject([{ orderNo: "A-1", chainId: CHAIN_ID }]);
    await chain.undo(blockOf(3), blockOf(0));
    expect((await chain.find(id)).sequence).toBe(0);
  });
});
