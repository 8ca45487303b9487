/** Orders whose deposits several settlers credit at the same moment, against a real PostgreSQL. */
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { addressOf, blockOf, blockWith, CHAIN_ID, transferOf } from "../testing/factory.ts";
import { AMOUNT, createOrderedChain, type OrderedChain, payment, timeOf } from "../testing/ordered-chain.ts";
import { insertOrder } from "../testing/orders.ts";
import { waitFor } from "../testing/wait-for.ts";
import { doesAnybodyWait, watchedDatabase } from "../testing/watched-database.ts";
import { type Settled, settleDeposits } from "./settle-deposits.ts";

let chain: OrderedChain;
beforeEach(async () => {
  chain = await createOrderedChain();
});
afterEach(() => chain.end());

/** Settles, and does something else before its first statement with these words. */
function settleWhile(words: string, meanwhile: () => Promise<unknown>) {
  let hasMet = false;
  const database = watchedDatabase(chain.test.database, async (text) => {
    if (hasMet || !text.includes(words)) return;
    hasMet = true;
    await meanwhile();
  });
  return settleDeposits(database, CHAIN_ID);
}

const untilSomebodyWaits = () =>
  waitFor(() => doesAnybodyWait(chain.test.database), { what: "a settler to wait for another" });

describe("several settlers", () => {
  it("F1: agree on an order of which each credits a part", async () => {
    const id = await chain.order();
    const { deposits } = await chain.ingest(
      blockOf(0),
      blockWith(blockOf(1), [payment(400n, "1"), payment(600n, "2")]),
    );
    await chain.deepen(blockOf(1), 3);
    let first: Promise<Settled> | undefined;
    let second: Promise<Settled> | undefined;
    let isPaused = false;
    // What is locked is left to its holder: so the first settler finds one of the two.
    const holder: Promise<void> = chain.test.database.transaction(async (tx) => {
      await tx.query("SELECT FROM deposits WHERE id = $1 FOR UPDATE", [deposits[1]?.id]);
      first = settleWhile("UPDATE orders", async () => {
        isPaused = true;
        await holder;
        second = chain.settle();
        await Promise.race([untilSomebodyWaits(), second]);
      });
      await waitFor(() => isPaused, { timeoutMs: 30_000, what: "the first settler to come to the order" });
    });
    await holder;
    expect((await first)?.credited).toBe(1);
    expect((await second)?.credited).toBe(1);
    expect(await chain.orderMoves(id)).toEqual(["1 underpaid", "2 paid"]);
    expect((await chain.find(id)).paidBaseUnits).toBe(AMOUNT);
  });

  it("F1: come to one end with many parts of many orders, whoever credits which", async () => {
    const { database } = chain.test;
    const [asset] = chain.assets;
    if (asset === undefined) throw new Error("The chain has no asset");
    const numbers = Array.from({ length: 40 }, (_, n) => `B-${n}`);
    const wanted = { asset, amountBaseUnits: AMOUNT, expiresAt: timeOf(100) };
    for (const orderNo of numbers) await insertOrder(database, { ...wanted, orderNo });
    const parts = numbers.flatMap((orderNo) =>
      Array.from({ length: 60 }, (_, n) =>
        transferOf({ to: addressOf(orderNo), tx: `${orderNo} ${n}`, amountBaseUnits: 100n }),
      ),
    );
    await chain.ingest(blockOf(0), blockWith(blockOf(1), parts));
    await chain.deepen(blockOf(1), 3);
    await Promise.all([chain.settle(), chain.settle(), chain.settle()]);
    const rows = await database.query("SELECT status, paid::text, count(*)::int FROM orders GROUP BY 1, 2");
    expect(rows).toEqual([{ status: "overpaid", paid: "6000", count: 40 }]);
  });

  it("F2: end an order once whose late payment one credits while another looks at deadlines", async () => {
    const id = await chain.order(timeOf(0));
    await chain.ingest(blockOf(0), blockWith(blockOf(1), [payment(AMOUNT, "0")]));
    await chain.deepen(blockOf(1), 3);
    let expired: number | undefined;
    await settleWhile("UPDATE orders", async () => {
      expired = await chain.expire();
    });
    expect(expired).toBe(0);
    expect(await chain.orderMoves(id)).toEqual(["1 expired"]);
    expect((await chain.find(id)).lateBaseUnits).toBe(AMOUNT);
  });

  it("F2: leave an order in force whose payment another is crediting as its deadline passes", async () => {
    const id = await chain.order(timeOf(2));
    await chain.ingest(blockOf(0), blockWith(blockOf(1), [payment(AMOUNT, "0")]));
    await chain.deepen(blockOf(1), 4);
    let expired: number | undefined;
    await settleWhile("INSERT INTO events", async () => {
      expired = await chain.expire();
    });
    expect(expired).toBe(0);
    expect(await chain.orderMoves(id)).toEqual(["1 paid"]);
  });
});
