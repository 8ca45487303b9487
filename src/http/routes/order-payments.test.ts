import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { judgePending } from "../../deposits/judge-pending.ts";
import { ingestBlocks, thresholdRules } from "../../flow/ingest-block.ts";
import { recordPending } from "../../flow/record-seen-payments.ts";
import { loadAddressWatch } from "../../flow/watch-addresses.ts";
import { systemRandom } from "../../runtime/random.ts";
import type { TestApi } from "../../testing/api.ts";
import { createTestDatabase, type TestDatabase } from "../../testing/database.ts";
import { addressOf, blockOf, blockWith, CHAIN_ID, hashOf, transferOf, USDT } from "../../testing/factory.ts";
import { createOrderApi, type OrderApi, OTHER_CHAIN } from "../../testing/order-api.ts";
import { depositShape, orderDetailShape, pageOf, seenPaymentShape } from "../answers.ts";

const ETHER = 10n ** 18n;

let db: TestDatabase;
let orders: OrderApi;
let api: TestApi;
let opened: OrderApi["opened"];

beforeAll(async () => {
  db = await createTestDatabase();
  orders = await createOrderApi(db);
  ({ api, opened } = orders);
});
afterAll(() => db.drop());

const show = async (id: string) => {
  const answer = await api.call("GET", `/v1/orders/${id}`);
  expect(answer.status).toBe(200);
  return orderDetailShape.parse(answer.body);
};

function bytesOf(tx: string): Buffer {
  return Buffer.from(hashOf(`tx ${tx}`).slice(2), "hex");
}

describe("what comes to an order's address", () => {
  test("F3: carries the orderNo in whichever asset and on whichever chain, and is shown with the order", async () => {
    const order = await opened("paid to", { userId: "carol" });
    const to = addressOf("order paid to");
    const fake = { token: addressOf("fake"), source: "log:1" as const };
    await orders.chain.ingestNearlyDue(
      transferOf({ to, tx: "right", token: USDT, source: "log:0", amountBaseUnits: 5_000_000n }),
      transferOf({ to, tx: "more", token: USDT, source: "log:0", amountBaseUnits: 2_000_000n }),
      transferOf({ to, tx: "wrong coin" }),
      transferOf({ to, tx: "stranger", ...fake }),
      transferOf({ to: addressOf("alice"), tx: "not of an order" }),
    );
    await ingestBlocks(
      {
        database: db.database,
        chainId: OTHER_CHAIN,
        assets: new Map(orders.assetsOf(OTHER_CHAIN).map((asset) => [asset.token, asset])),
        nativeSource: "value",
        ownWallets: new Set(),
        reorgWindow: 64,
        watch: await loadAddressWatch(db.database, systemRandom),
      },
      { chainId: OTHER_CHAIN, number: 0n, hash: blockOf(0).hash, leaseToken: 0n },
      [blockWith(blockOf(1), [transferOf({ to, tx: "wrong chain" })])],
    );
    const detail = await show(order.id);
    expect(detail.deposits.map(({ orderNo, userId }) => [orderNo, userId])).toEqual(
      Array(5).fill(["paid to", "carol"]),
    );
    expect(detail).toMatchObject({ status: "open", pending: "7", pendingBaseUnits: "7000000", paid: "0" });
    const listedDeposits = await api.call("GET", "/v1/deposits?orderNo=paid to");
    expect(pageOf(depositShape, "DepositPage").parse(listedDeposits.body).items).toEqual(detail.deposits);
    expect((await api.call("GET", "/v1/deposits?orderNo=A-1001")).body).toMatchObject({ items: [] });

    // Held is waiting too; what is in a block after the deadline is late, however it waits.
    await db.database.query("UPDATE deposits SET status = 'held' WHERE tx_hash = $1", [bytesOf("more")]);
    expect(await show(order.id)).toMatchObject({ pending: "7" });
    await db.database.query(
      "UPDATE deposits SET block_time = now() + interval '2 hours' WHERE tx_hash = $1",
      [bytesOf("more")],
    );
    expect(await show(order.id)).toMatchObject({ pending: "5" });
    await db.database.query("UPDATE deposits SET status = 'pending' WHERE tx_hash = $1", [bytesOf("more")]);
  });

  test("keeps the orderNo when a reorg includes it again", async () => {
    const before = await api.call("GET", `/v1/deposits?orderNo=paid to&txHash=${hashOf("tx right")}`);
    await orders.chain.deepen();
    await orders.chain.undo();
    await orders.chain.ingestNearlyDue(
      transferOf({
        to: addressOf("order paid to"),
        tx: "right",
        token: USDT,
        source: "log:0",
        amountBaseUnits: 5_000_000n,
      }),
    );
    const after = await api.call("GET", `/v1/deposits?orderNo=paid to&txHash=${hashOf("tx right")}`);
    const read = (answer: { body: unknown }) =>
      pageOf(depositShape, "DepositPage").parse(answer.body).items[0];
    expect(read(after)).toMatchObject({ id: read(before)?.id, orderNo: "paid to", status: "pending" });
    expect(read(after)?.blockHash).not.toBe(read(before)?.blockHash);
  });

  test("is shown while it waits in the mempool, with the orderNo", async () => {
    const order = await opened("seen", { currency: "ETH", amount: "1" });
    const rules = {
      chainId: CHAIN_ID,
      assets: new Map(orders.assetsOf(CHAIN_ID).map((asset) => [asset.token, asset])),
      ownWallets: new Set<`0x${string}`>(),
    };
    const judged = Array.from({ length: 25 }, (_, n) => {
      const transfer = {
        txHash: hashOf(`waits ${n}`),
        source: "value" as const,
        token: null,
        from: addressOf("payer"),
        sender: addressOf("payer"),
        to: addressOf(n < 22 ? "order seen" : "order paid to"),
        amountBaseUnits: ETHER,
        nonce: BigInt(n),
      };
      return judgePending(transfer, rules, thresholdRules) ?? [];
    }).flat();
    await recordPending(db.database, CHAIN_ID, judged);
    const detail = await show(order.id);
    expect(detail.seenPayments.map(({ orderNo, status }) => `${orderNo} ${status}`)).toEqual(
      Array(20).fill("seen seen"),
    );
    // It counts for nothing.
    expect(detail).toMatchObject({ pending: "0", paid: "0", deposits: [] });
    const all = await api.call("GET", "/v1/seen-payments?orderNo=seen&limit=100");
    const { items } = pageOf(seenPaymentShape, "SeenPaymentPage").parse(all.body);
    expect(items.map(({ orderNo }) => orderNo)).toEqual(Array(22).fill("seen"));
    const none = await api.call("GET", "/v1/seen-payments?orderNo=plain");
    expect(none.body).toEqual({ items: [], nextCursor: null });
  });

  test("is shown to its own merchant alone, though another has an order of that number", async () => {
    const { key } = await api.addMerchant("Curious");
    for (const query of ["deposits?orderNo=paid to", "seen-payments?orderNo=seen"]) {
      const orderNo = query.split("=")[1] ?? "";
      const mine = await api.call("GET", `/v1/${query}`);
      await orders.open(orderNo, { address: addressOf(`curious ${orderNo}`) }, { key });
      expect((await api.call("GET", `/v1/${query}`, { key })).body).toMatchObject({ items: [] });
      const again = await api.call("GET", `/v1/${query}`);
      expect([again.status, again.text]).toEqual([200, mine.text]);
      expect(mine.body).not.toMatchObject({ items: [] });
    }
  });
});
