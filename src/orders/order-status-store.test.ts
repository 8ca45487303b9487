/** What looking for deadlines costs, beside orders that are long finished. */
import { afterEach, beforeEach, expect, it } from "vitest";
import { blockOf, CHAIN_ID, MERCHANT_ID } from "../testing/factory.ts";
import { createOrderedChain, type OrderedChain, timeOf } from "../testing/ordered-chain.ts";
import { isAnyOrderOverdue } from "./order-status-store.ts";

interface Plan {
  readonly "Shared Hit Blocks"?: number;
  readonly "Shared Read Blocks"?: number;
}

let chain: OrderedChain;
beforeEach(async () => {
  chain = await createOrderedChain();
});
afterEach(() => chain.test.drop());

it("reads no more to see that no deadline has passed when fifty thousand orders are finished", async () => {
  const { database } = chain.test;
  await chain.order(timeOf(9));
  await database.query(
    `WITH made AS (
       INSERT INTO watched_addresses (address, merchant_id, user_id)
       SELECT decode(lpad(to_hex(n), 40, '0'), 'hex'), $1, 'many' FROM generate_series(1, 50000) n
       RETURNING address
     )
     INSERT INTO orders (id, merchant_id, order_no, user_id, chain_id, asset_id, amount, address, lifetime_s,
       expires_at, status, paid)
     SELECT 'ord_' || encode(address, 'hex'), $1, encode(address, 'hex'), 'many', $2, $3, 5, address, 60, $4, 'paid', 5
     FROM made`,
    [MERCHANT_ID, CHAIN_ID, chain.assets[0]?.id, timeOf(1)],
  );
  await chain.deepen(blockOf(0), 5);
  let blocks = 0;
  const explained = {
    query: async (text: string, values?: readonly unknown[]) => {
      const [row] = await database.query<{ "QUERY PLAN": [{ Plan: Plan }] }>(
        `EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) ${text}`,
        values,
      );
      const plan = row?.["QUERY PLAN"][0].Plan ?? {};
      blocks = (plan["Shared Hit Blocks"] ?? 0) + (plan["Shared Read Blocks"] ?? 0);
      return [];
    },
  };
  await isAnyOrderOverdue(explained, CHAIN_ID);
  expect(blocks).toBeGreaterThan(0);
  expect(blocks).toBeLessThan(20);
  expect(await isAnyOrderOverdue(database, CHAIN_ID)).toBe(false);
});
