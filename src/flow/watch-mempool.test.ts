/** What waits in the mempool, against a real PostgreSQL. What becomes of it is in `examine-seen-payments.test.ts`. */
import { encodeFunctionData } from "viem";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { judgePending } from "../deposits/judge-pending.ts";
import { listUserBalances } from "../ledger/ledger-store.ts";
import { pendingTransfers } from "../matcher/pending-transfers.ts";
import { registerAddress } from "../merchants/address-store.ts";
import { tokenAbi } from "../testing/contracts.ts";
import { addressOf, CHAIN_ID, hashOf, MERCHANT_ID, USDT } from "../testing/factory.ts";
import { createWatchedMempool, payer, paymentOf, type WatchedMempool } from "../testing/watched-mempool.ts";
import { thresholdRules } from "./ingest-block.ts";
import { recordPending } from "./record-seen-payments.ts";
import { settleDeposits } from "./settle-deposits.ts";
import { MOST_LIVE } from "./watch-mempool.ts";

const alice = addressOf("alice");

let mempool: WatchedMempool;
beforeEach(async () => {
  mempool = await createWatchedMempool();
});
afterEach(() => mempool.chain.test.drop());

const countOf = async (table: string) =>
  (await mempool.chain.test.database.query(`SELECT FROM ${table}`)).length;

describe("a payment that waits in the mempool", () => {
  it("is shown with whose it is, and told only to endpoints that name the type", async () => {
    mempool.node.waiting = [paymentOf("1"), paymentOf("2", { to: addressOf("stranger") })];
    await mempool.look();
    await mempool.look();
    expect(await mempool.onlySeen()).toMatchObject({
      status: "seen",
      sequence: 1,
      userId: "alice",
      to: alice,
      from: payer,
      sender: payer,
      nonce: 3n,
      amountBaseUnits: 1_000n,
      currency: "ETH",
      source: "value",
      creditAt: "3",
      unlockAt: "5",
      block: null,
    });
    expect(await mempool.told()).toEqual(["1 seen"]);
    expect(await mempool.toldTo()).toEqual(["end_named"]);
    expect(mempool.wokenCount()).toBe(1);
  });

  it("is seen for an address that was registered since the last block", async () => {
    const bob = addressOf("bob");
    await registerAddress(mempool.chain.test.database, {
      address: bob,
      merchantId: MERCHANT_ID,
      userId: "bob",
    });
    mempool.node.waiting = [paymentOf("1", { to: bob })];
    await mempool.look();
    expect(await mempool.onlySeen()).toMatchObject({ userId: "bob", status: "seen" });
  });

  it("is neither a deposit nor anything in the ledger, whatever becomes of it", async () => {
    mempool.node.waiting = [paymentOf("1")];
    await mempool.look();
    await mempool.forget();
    await settleDeposits(mempool.chain.test.database, CHAIN_ID, new AbortController().signal);
    expect(await countOf("deposits")).toBe(0);
    expect(await countOf("ledger_entries")).toBe(0);
    expect(await listUserBalances(mempool.chain.test.database, MERCHANT_ID, "alice")).toEqual([]);
  });

  it("may be a transfer called on a listed token", async () => {
    const input = encodeFunctionData({ abi: tokenAbi, functionName: "transfer", args: [alice, 2_500_000n] });
    mempool.node.waiting = [
      paymentOf("1", { to: USDT, valueWei: 0n, input }),
      paymentOf("2", { to: addressOf("fake usdt"), valueWei: 0n, input }),
    ];
    await mempool.look();
    expect(await mempool.onlySeen()).toMatchObject({
      source: "call",
      token: USDT,
      amountBaseUnits: 2_500_000n,
    });
  });

  it("is not told of when it is below the minimum or comes from a wallet of the merchant's own", async () => {
    mempool.node.waiting = [
      paymentOf("1", { valueWei: 99n }),
      paymentOf("2", { from: addressOf("hot wallet") }),
    ];
    await mempool.look();
    expect(await mempool.seenPayments()).toEqual([]);
    mempool.node.waiting = [paymentOf("3", { valueWei: 100n })];
    await mempool.look();
    expect(await mempool.seenPayments()).toHaveLength(1);
  });

  it("is told once when two daemons see it, and looked for only by the one that follows the chain", async () => {
    mempool.node.waiting = [paymentOf("1")];
    expect(await mempool.startWatcher("another daemon").look(new AbortController().signal)).toBe(false);
    expect(await mempool.seenPayments()).toEqual([]);
    await Promise.all([mempool.look(), mempool.startWatcher().look(new AbortController().signal)]);
    expect(await mempool.told()).toEqual(["1 seen"]);
  });

  it("is written once by two daemons that both found it new", async () => {
    const [transfer] = pendingTransfers(paymentOf("1"), new Set());
    if (transfer === undefined) throw new Error("There is no transfer");
    const judged = judgePending(transfer, mempool.chain.context, thresholdRules);
    const both = judged === null ? [] : [judged];
    expect((await recordPending(mempool.chain.test.database, CHAIN_ID, both)).changed).toHaveLength(1);
    expect((await recordPending(mempool.chain.test.database, CHAIN_ID, both)).changed).toEqual([]);
    expect(await mempool.told()).toEqual(["1 seen"]);
  });

  it("is not taken up when its deposit stands already: some node is late", async () => {
    await mempool.mine(1, "1");
    mempool.node.waiting = [paymentOf("1")];
    await mempool.look();
    expect(await mempool.seenPayments()).toEqual([]);
  });

  it("is left out while too many wait, and taken up when some have ended", async () => {
    await mempool.chain.test.database.query(
      `INSERT INTO seen_payments (id, chain_id, tx_hash, source, merchant_id, user_id, asset_id, amount, sender, nonce,
         from_address, to_address, credit_at, unlock_at, status, sequence)
       SELECT 'see_' || n, $1, sha256(n::text::bytea), 'value', $2, 'alice', (SELECT min(id) FROM assets), 1, $3, n, $3,
         $4, '3', '5', 'seen', 1 FROM generate_series(1, $5::integer) n`,
      [
        CHAIN_ID,
        MERCHANT_ID,
        Buffer.from(payer.slice(2), "hex"),
        Buffer.from(alice.slice(2), "hex"),
        MOST_LIVE - 1,
      ],
    );
    mempool.node.waiting = [paymentOf("1"), paymentOf("2", { nonce: 4n })];
    await mempool.look();
    expect(await mempool.told()).toEqual(["1 seen"]);
    await mempool.chain.test.database.query("UPDATE seen_payments SET status = 'dropped' WHERE id < 'see_2'");
    await mempool.look();
    expect(await mempool.told()).toEqual(["1 seen", "1 seen"]);
  });

  it("is examined in turn with the others, however many wait", async () => {
    mempool.node.waiting = Array.from({ length: 120 }, (_, n) => paymentOf(`${n}`, { nonce: BigInt(n) }));
    await mempool.look();
    const used = hashOf("tx other");
    mempool.node.waiting = [];
    mempool.node.nonceUse = { isUsed: true, by: used };
    for (let looks = 0; looks < 3; looks++) await mempool.look();
    expect((await mempool.seenPayments()).map((seen) => seen.status)).toEqual(Array(120).fill("replaced"));
  });
});
