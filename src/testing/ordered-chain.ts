/** A chain made by hand, with one order to be paid on it: `A-1`, of `AMOUNT` of the chain's coin. Credit is at depth 3. */
import { expect } from "vitest";
import type { Transfer } from "../core/chain.ts";
import type { Order } from "../core/order.ts";
import { expireOrders } from "../flow/expire-orders.ts";
import { type Settled, settleDeposits } from "../flow/settle-deposits.ts";
import { checkBooks } from "../flow/verify-store.ts";
import { addressOf, blockOf, blockWith, CHAIN_ID, transferOf } from "./factory.ts";
import { createHandmadeChain, type HandmadeChain } from "./handmade-chain.ts";
import { insertOrder, orderMoves, readOrder } from "./orders.ts";

export const AMOUNT = 1_000n;
/** The order's address. */
export const shop = addressOf("A-1");

export interface OrderedChain extends HandmadeChain {
  /** Answers its id. @param expiresAt long after, if it is not given */
  order(expiresAt?: Date, amountBaseUnits?: bigint): Promise<string>;
  /** These amounts in block 1, which is deep enough then, credited. The n-th is the transaction `n`. */
  credit(...amounts: bigint[]): Promise<void>;
  settle(): Promise<Settled>;
  /** How many orders expired. */
  expire(): Promise<number>;
  find(orderId: string): Promise<Order>;
  /** What was told of it, in the order of the feed: `["1 underpaid", "2 paid"]`. */
  orderMoves(orderId: string): Promise<string[]>;
  /** Drops the database. @throws when its books do not hold */
  end(): Promise<void>;
}

export async function createOrderedChain(): Promise<OrderedChain> {
  const chain = await createHandmadeChain();
  const { database } = chain.test;
  const [asset] = chain.assets;
  if (asset === undefined) throw new Error("The chain has no asset");
  const settle = () => settleDeposits(database, CHAIN_ID);
  return {
    ...chain,
    order: (expiresAt = timeOf(100), amountBaseUnits = AMOUNT) =>
      insertOrder(database, { orderNo: "A-1", asset, amountBaseUnits, expiresAt }),
    credit: async (...amounts) => {
      const transfers = amounts.map((amount, n) => payment(amount, `${n}`));
      await chain.ingest(blockOf(0), blockWith(blockOf(1), transfers));
      await chain.deepen(blockOf(1), 3);
      await settle();
    },
    settle,
    expire: async () => (await expireOrders(database, CHAIN_ID)).count,
    find: (orderId) => readOrder(database, orderId),
    orderMoves: (orderId) => orderMoves(database, orderId),
    end: async () => {
      try {
        expect(await checkBooks(database)).toEqual([]);
      } finally {
        await chain.test.drop();
      }
    },
  };
}

/** The time of a block of branch `A`, and so many seconds. */
export function timeOf(blockNumber: number, seconds = 0): Date {
  return new Date((blockOf(blockNumber).timestamp + seconds) * 1000);
}

/** To the order's address. */
export function payment(amountBaseUnits: bigint, tx: string): Transfer {
  return transferOf({ to: shop, tx, amountBaseUnits });
}
