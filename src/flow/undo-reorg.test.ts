/** Leaving a branch, against a real PostgreSQL, with hand-made blocks of competing branches. */
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import {
  addressOf,
  blockOf,
  blockWith,
  CHAIN_ID,
  MERCHANT_ID,
  transferOf,
  USDT,
} from "../testing/factory.ts";
import { createHandmadeChain, type HandmadeChain } from "../testing/handmade-chain.ts";
import { debitUser } from "./debit-user.ts";
import { settleDeposits } from "./settle-deposits.ts";

const alice = addressOf("alice");
const bob = addressOf("bob");

let chain: HandmadeChain;
beforeEach(async () => {
  chain = await createHandmadeChain();
});
afterEach(() => chain.test.drop());

describe("undoing a reorg", () => {
  it("B1: orphans a pending deposit when its block leaves the canonical chain", async () => {
    const { deposits: made } = await chain.ingest(
      blockOf(0),
      blockWith(blockOf(1), [transferOf({ to: alice, tx: "1" })]),
    );
    await chain.undo(blockOf(1), blockOf(0));
    expect(await chain.statuses()).toEqual(["orphaned"]);
    expect(await chain.moves(made[0]?.id ?? "")).toEqual(["pending", "orphaned"]);
  });

  it("B2: keeps one deposit with the same id when its transaction is included again elsewhere", async () => {
    const transfer = transferOf({ to: alice, tx: "1", source: "log:0", token: USDT });
    const { deposits: first } = await chain.ingest(blockOf(0), blockWith(blockOf(1), [transfer]));
    await chain.undo(blockOf(1), blockOf(0));
    await chain.ingest(blockOf(0), blockWith(blockOf(1, "B", "A")));
    const { deposits: again } = await chain.ingest(blockOf(1, "B"), blockWith(blockOf(2, "B"), [transfer]));
    expect(again.map((each) => each.id)).toEqual(first.map((each) => each.id));
    expect(again[0]).toMatchObject({
      status: "pending",
      blockNumber: 2n,
      blockHash: blockOf(2, "B").hash,
      sequence: 3,
    });
    expect(await chain.statuses()).toEqual(["pending"]);
  });

  it("B4: reverses a credited deposit with its ledger entry, and credits it again by a new one", async () => {
    const transfer = transferOf({ to: alice, tx: "1" });
    await chain.ingest(blockOf(0), blockWith(blockOf(1), [transfer]));
    const head = await chain.deepen(blockOf(1), 3);
    await settleDeposits(chain.test.database, CHAIN_ID);
    expect(await chain.balanceOf("alice")).toEqual([[10n ** 18n, 0n]]);

    const undone = await chain.undo(head, blockOf(0));
    expect(undone.reversed.map((each) => each.status)).toEqual(["reversed"]);
    expect(await chain.balanceOf("alice")).toEqual([[0n, 0n]]);

    await chain.ingest(blockOf(0), blockWith(blockOf(1, "B", "A"), [transfer]));
    await chain.deepen(blockOf(1, "B"), 3, "B");
    await settleDeposits(chain.test.database, CHAIN_ID);
    expect(await chain.balanceOf("alice")).toEqual([[10n ** 18n, 0n]]);
    const [deposit] = await chain.deposits();
    expect(await chain.moves(deposit?.id ?? "")).toEqual([
      "pending",
      "credited",
      "reversed",
      "pending",
      "credited",
    ]);
    const entries = await chain.test.database.query(
      "SELECT kind, generation FROM ledger_entries ORDER BY created_at, kind",
    );
    expect(entries).toEqual([
      { kind: "credit", generation: 1 },
      { kind: "reversal", generation: 1 },
      { kind: "credit", generation: 2 },
    ]);
  });

  it("B4: makes a receivable of what the user no longer has, and is not refused", async () => {
    await chain.ingest(
      blockOf(0),
      blockWith(blockOf(1), [transferOf({ to: alice, tx: "1", amountBaseUnits: 1000n })]),
    );
    const head = await chain.deepen(blockOf(1), 5);
    await settleDeposits(chain.test.database, CHAIN_ID);
    await spend("alice", 300n);
    const undone = await chain.undo(head, blockOf(0));
    expect(undone.reversed.map((each) => each.shortfallBaseUnits)).toEqual([300n]);
    const rows = await chain.test.database.query(
      "SELECT kind, balance::int AS balance FROM ledger_accounts WHERE balance IS NOT NULL AND kind <> 'locked' ORDER BY kind",
    );
    expect(rows).toEqual([
      { kind: "available", balance: 0 },
      { kind: "receivable", balance: -300 },
    ]);
  });

  it("B6: lets the amount and recipient of the new branch count", async () => {
    await chain.ingest(
      blockOf(0),
      blockWith(blockOf(1), [transferOf({ to: alice, tx: "1", amountBaseUnits: 500n })]),
    );
    await chain.undo(blockOf(1), blockOf(0));
    await chain.ingest(
      blockOf(0),
      blockWith(blockOf(1, "B", "A"), [transferOf({ to: bob, tx: "1", amountBaseUnits: 700n })]),
    );
    expect((await chain.deposits()).map((each) => [each.userId, each.amountBaseUnits, each.status])).toEqual([
      ["bob", 700n, "pending"],
    ]);
  });

  it("B12: ends as the chain ends when branches flip back and forth five times", async () => {
    const transfer = transferOf({ to: alice, tx: "1" });
    await chain.ingest(blockOf(0), blockWith(blockOf(1), [transfer]));
    for (let flip = 1; flip <= 5; flip++) {
      const [here, there] = flip % 2 ? ["A", "B"] : ["B", "A"];
      await chain.undo(blockOf(1, here, "A"), blockOf(0));
      await chain.ingest(blockOf(0), blockWith(blockOf(1, there, "A"), there === "A" ? [transfer] : []));
    }
    expect(await chain.statuses()).toEqual(["orphaned"]);
    const [deposit] = await chain.deposits();
    expect(await chain.moves(deposit?.id ?? "")).toEqual([
      "pending",
      "orphaned",
      "pending",
      "orphaned",
      "pending",
      "orphaned",
    ]);
  });
});

async function spend(userId: string, amountBaseUnits: bigint): Promise<void> {
  await debitUser(chain.test.database, {
    merchantId: MERCHANT_ID,
    userId,
    assetId: chain.assets[0]?.id ?? 0,
    amountBaseUnits,
    key: "spend",
    note: null,
  });
}
