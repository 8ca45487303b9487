/** The three transactions against a real PostgreSQL, with hand-made blocks of competing branches. */
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { KnownAsset } from "../core/asset.ts";
import type { BlockHeader, BlockTransfers } from "../core/chain.ts";
import type { Deposit } from "../core/deposit.ts";
import { DEFAULT_EVENT_TYPES } from "../core/event.ts";
import { listDeposits } from "../deposits/deposit-list-store.ts";
import { listUserBalances } from "../ledger/ledger-store.ts";
import { registerAddress } from "../merchants/address-store.ts";
import { listDepositHistory } from "../outbox/event-store.ts";
import { systemRandom } from "../runtime/random.ts";
import { getChainState } from "../scanner/chain-store.ts";
import { createTestDatabase, type TestDatabase } from "../testing/database.ts";
import {
  addressOf,
  assetOf,
  blockOf,
  blockWith,
  CHAIN_ID,
  MERCHANT_ID,
  seedChain,
  transferOf,
  USDT,
} from "../testing/factory.ts";
import { debitUser } from "./debit-user.ts";
import { type IngestContext, ingestBlocks } from "./ingest-block.ts";
import { settleDeposits } from "./settle-deposits.ts";
import { undoReorg } from "./undo-reorg.ts";
import { loadAddressWatch } from "./watch-addresses.ts";

const alice = addressOf("alice");
const bob = addressOf("bob");

let test: TestDatabase;
let context: IngestContext;
let assets: KnownAsset[];

beforeEach(async () => {
  test = await createTestDatabase();
  assets = await seedChain(test.database, [
    assetOf({ minimumBaseUnits: 100n }),
    assetOf({ token: USDT, currency: "USDT", decimals: 6 }),
  ]);
  await registerAddress(test.database, { address: alice, merchantId: MERCHANT_ID, userId: "alice" });
  await registerAddress(test.database, { address: bob, merchantId: MERCHANT_ID, userId: "bob" });
  context = {
    database: test.database,
    chainId: CHAIN_ID,
    assets: new Map(assets.map((asset) => [asset.token, asset])),
    nativeSource: "value",
    ownWallets: new Set([addressOf("hot wallet")]),
    reorgWindow: 64,
    watch: await loadAddressWatch(test.database, systemRandom),
  };
});
afterEach(() => test.drop());

const claim = (block: BlockHeader) => ({
  chainId: CHAIN_ID,
  number: block.number,
  hash: block.hash,
  leaseToken: 0n,
});
const ingest = (after: BlockHeader, ...blocks: BlockTransfers[]) =>
  ingestBlocks(context, claim(after), blocks);
const deposits = async (): Promise<Deposit[]> =>
  (await listDeposits(test.database, { merchantId: MERCHANT_ID, limit: 1000 })).map((each) => each.deposit);
const statuses = async () => (await deposits()).map((deposit) => deposit.status).sort();
const moves = async (id: string) =>
  (await listDepositHistory(test.database, id)).map((each) => each.type.slice(8));
const balanceOf = async (userId: string) => {
  const balances = await listUserBalances(test.database, MERCHANT_ID, userId);
  return balances.map((balance) => [balance.lockedBaseUnits, balance.availableBaseUnits]);
};
/** Empty blocks 1, 2, … after a number, so that what stands there gets deeper. */
async function deepen(from: BlockHeader, to: number, branch = "A"): Promise<BlockHeader> {
  let last = from;
  for (let number = Number(from.number) + 1; number <= to; number++) {
    const next = blockOf(number, branch, number === Number(from.number) + 1 ? undefined : branch);
    await ingest(last, blockWith(next));
    last = next;
  }
  return last;
}

describe("ingesting", () => {
  it("makes a pending deposit of a transfer to a watched address, with its event", async () => {
    const result = await ingest(blockOf(0), blockWith(blockOf(1), [transferOf({ to: alice, tx: "1" })]));
    expect(result.deposits.map((deposit) => [deposit.status, deposit.userId])).toEqual([
      ["pending", "alice"],
    ]);
    expect(result.targetBlocks).toEqual([3n, 5n]);
    expect(await moves(result.deposits[0]?.id ?? "")).toEqual(["pending"]);
  });

  it("leaves transfers to others alone", async () => {
    const result = await ingest(
      blockOf(0),
      blockWith(blockOf(1), [transferOf({ to: addressOf("stranger"), tx: "1" })]),
    );
    expect(result.deposits).toEqual([]);
  });

  it("A3: keeps a look-alike token as ignored, never to be credited", async () => {
    const fake = transferOf({ to: alice, tx: "1", source: "log:0", token: addressOf("fake usdt") });
    await ingest(blockOf(0), blockWith(blockOf(1), [fake]));
    await deepen(blockOf(1), 8);
    await settleDeposits(test.database, CHAIN_ID);
    expect((await deposits()).map((each) => [each.status, each.reason, each.currency])).toEqual([
      ["ignored", "unlisted_asset", null],
    ]);
    expect(await balanceOf("alice")).toEqual([]);
  });

  it("keeps a deposit below the minimum as ignored, and takes one exactly at it", async () => {
    const dust = transferOf({ to: alice, tx: "1", amountBaseUnits: 99n });
    const enough = transferOf({ to: alice, tx: "2", amountBaseUnits: 100n });
    await ingest(blockOf(0), blockWith(blockOf(1), [dust, enough]));
    expect((await deposits()).map((each) => [each.amountBaseUnits, each.reason]).sort()).toEqual([
      [100n, null],
      [99n, "below_minimum"],
    ]);
  });

  it("A9: keeps what comes from a wallet of the merchant's own as ignored", async () => {
    const topUp = transferOf({ to: alice, tx: "1", from: addressOf("hot wallet") });
    await ingest(blockOf(0), blockWith(blockOf(1), [topUp]));
    expect((await deposits()).map((each) => [each.status, each.reason])).toEqual([
      ["ignored", "own_transfer"],
    ]);
  });

  it("A9: keeps what an address sends to itself as ignored: nothing came in", async () => {
    const coin = transferOf({ to: alice, from: alice, tx: "1" });
    const token = transferOf({ to: alice, from: alice, tx: "2", source: "log:0", token: USDT });
    await ingest(blockOf(0), blockWith(blockOf(1), [coin, token]));
    expect((await deposits()).map((each) => [each.status, each.reason])).toEqual([
      ["ignored", "own_transfer"],
      ["ignored", "own_transfer"],
    ]);
  });

  it("A8: keeps 10,000 transfers below the minimum as ignored, in one batch and without a delivery", async () => {
    await test.database.query(
      `INSERT INTO endpoints (id, merchant_id, url, events, secret)
       VALUES ('end_all', $1, 'http://127.0.0.1', $2, '\\x00')`,
      [MERCHANT_ID, DEFAULT_EVENT_TYPES],
    );
    const dust = Array.from({ length: 10_000 }, (_, n) =>
      transferOf({ to: alice, tx: `${n}`, amountBaseUnits: 99n }),
    );
    const result = await ingest(blockOf(0), blockWith(blockOf(1), dust));
    expect(result).toMatchObject({ deliveryCount: 0, targetBlocks: [], isAnythingDue: false });
    const rows = await test.database.query(
      "SELECT status, reason, count(*)::int FROM deposits GROUP BY 1, 2",
    );
    expect(rows).toEqual([{ status: "ignored", reason: "below_minimum", count: 10_000 }]);
  });

  it("G1: makes a callback due at once, or as much later as its endpoint's schedule begins", async () => {
    await test.database.query(
      `INSERT INTO endpoints (id, merchant_id, url, events, secret, first_delay_ms)
       VALUES ('end_now', $1, 'http://127.0.0.1', $2, '\\x00', 0), ('end_later', $1, 'http://127.0.0.1', $2, '\\x00', 60000)`,
      [MERCHANT_ID, DEFAULT_EVENT_TYPES],
    );
    await ingest(blockOf(0), blockWith(blockOf(1), [transferOf({ to: alice, tx: "1" })]));
    const rows = await test.database.query(
      `SELECT endpoint_id, extract(epoch FROM next_attempt_at - created_at)::integer AS seconds
       FROM deliveries ORDER BY seconds`,
    );
    expect(rows).toEqual([
      { endpoint_id: "end_now", seconds: 0 },
      { endpoint_id: "end_later", seconds: 60 },
    ]);
  });

  it("D6: makes one deposit of each transfer in a transaction, equal amounts too", async () => {
    const transfers = [0, 1, 2].map((n) =>
      transferOf({ to: alice, tx: "1", source: `log:${n}`, token: USDT }),
    );
    await ingest(
      blockOf(0),
      blockWith(blockOf(1), [...transfers, transferOf({ to: bob, tx: "1", source: "log:3", token: USDT })]),
    );
    expect(await statuses()).toEqual(["pending", "pending", "pending", "pending"]);
  });

  it("D7: takes native coin and token of one transaction as two deposits", async () => {
    const native = transferOf({ to: alice, tx: "1" });
    const token = transferOf({ to: alice, tx: "1", source: "log:0", token: USDT });
    await ingest(blockOf(0), blockWith(blockOf(1), [native, token]));
    expect((await deposits()).map((each) => each.currency).sort()).toEqual(["ETH", "USDT"]);
  });

  it("changes nothing when the same block is ingested from where the cursor no longer is", async () => {
    const block = blockWith(blockOf(1), [transferOf({ to: alice, tx: "1" })]);
    await ingest(blockOf(0), block);
    await expect(ingest(blockOf(0), block)).rejects.toMatchObject({ code: "cursor_moved", retryable: true });
    expect(await statuses()).toEqual(["pending"]);
  });

  it("refuses a follower whose lease has passed to another", async () => {
    await test.database.query("UPDATE chains SET lease_token = lease_token + 1");
    await expect(ingest(blockOf(0), blockWith(blockOf(1)))).rejects.toMatchObject({ code: "cursor_moved" });
  });

  it("keeps block refs of the window only", async () => {
    context = { ...context, reorgWindow: 3 };
    await ingest(blockOf(0), ...[1, 2, 3, 4, 5].map((number) => blockWith(blockOf(number))));
    const refs = await test.database.query<{ number: bigint }>(
      "SELECT number FROM block_refs ORDER BY number",
    );
    expect(refs.map((ref) => ref.number)).toEqual([3n, 4n, 5n]);
  });
});

describe("registering an address while its block is ingested", () => {
  it("D12: finds the deposit when the registration was answered before the block was committed", async () => {
    const carol = addressOf("carol");
    const block = blockWith(blockOf(1), [transferOf({ to: carol, tx: "1" })]);
    // The follower matched the block before carol was known to its table; her registration commits before its last look.
    const before = context.watch.lastNumber;
    await registerAddress(test.database, { address: carol, merchantId: MERCHANT_ID, userId: "carol" });
    expect(context.watch.lastNumber).toBe(before);
    const result = await ingest(blockOf(0), block);
    expect(result.deposits.map((deposit) => deposit.userId)).toEqual(["carol"]);
  });

  it("D12: makes a registration wait while an ingest is between its last look and its commit", async () => {
    const dan = addressOf("dan");
    const order: string[] = [];
    let registering: Promise<unknown> = Promise.resolve();
    await test.database.transaction(async (tx) => {
      await tx.query("LOCK TABLE registration_gate IN SHARE MODE");
      registering = registerAddress(test.database, {
        address: dan,
        merchantId: MERCHANT_ID,
        userId: "dan",
      }).then(() => order.push("registered"));
      await waitUntilBlocked();
      order.push("committing");
    });
    await registering;
    expect(order).toEqual(["committing", "registered"]);
  });

  it("D12: loses none of many addresses registered over several connections while their deposits are ingested", async () => {
    const names = Array.from({ length: 120 }, (_, n) => `user-${n}`);
    const cursorAfterAnswer = new Map<string, bigint>();
    const register = async (part: number) => {
      for (const name of names.filter((_, n) => n % 4 === part)) {
        await registerAddress(test.database, {
          address: addressOf(name),
          merchantId: MERCHANT_ID,
          userId: name,
        });
        const state = await getChainState(test.database, CHAIN_ID);
        cursorAfterAnswer.set(name, state.cursorNumber ?? 0n);
      }
    };
    const follow = async () => {
      let last = blockOf(0);
      for (let number = 1; number <= 40; number++) {
        const block = blockOf(number);
        const transfers = names.map((name) => transferOf({ to: addressOf(name), tx: `${number} ${name}` }));
        await ingest(last, blockWith(block, transfers));
        last = block;
      }
    };
    await Promise.all([follow(), ...[0, 1, 2, 3].map(register)]);
    const rows = await test.database.query<{ user_id: string; blocks: bigint }>(
      "SELECT user_id, count(*) AS blocks FROM deposits GROUP BY user_id",
    );
    const found = new Map(rows.map((row) => [row.user_id, row.blocks]));
    // Every block that the cursor had not passed when the registration was answered shows a deposit.
    const missed = names.filter(
      (name) => (found.get(name) ?? 0n) < 40n - (cursorAfterAnswer.get(name) ?? 0n),
    );
    expect([...cursorAfterAnswer.values()].some((cursor) => cursor > 0n && cursor < 40n)).toBe(true);
    expect(missed).toEqual([]);
  });
});

describe("settling", () => {
  it("B11: credits with exactly N confirmations and not with N−1, and so unlocks", async () => {
    await ingest(blockOf(0), blockWith(blockOf(1), [transferOf({ to: alice, tx: "1" })]));
    const at = async (block: number, from: number) => {
      await deepen(blockOf(from), block);
      await settleDeposits(test.database, CHAIN_ID);
      return statuses();
    };
    expect(await at(2, 1)).toEqual(["pending"]);
    expect(await at(3, 2)).toEqual(["credited"]);
    expect(await at(4, 3)).toEqual(["credited"]);
    expect(await at(5, 4)).toEqual(["unlocked"]);
    expect(await balanceOf("alice")).toEqual([[0n, 10n ** 18n]]);
  });

  it("credits once when several settlers run at the same time", async () => {
    const transfers = Array.from({ length: 300 }, (_, n) =>
      transferOf({ to: n % 2 ? alice : bob, tx: `${n}` }),
    );
    await ingest(blockOf(0), blockWith(blockOf(1), transfers));
    await deepen(blockOf(1), 3);
    const results = await Promise.all([1, 2, 3].map(() => settleDeposits(test.database, CHAIN_ID)));
    expect(results.reduce((sum, result) => sum + result.credited, 0)).toBe(300);
    expect(await balanceOf("alice")).toEqual([[150n * 10n ** 18n, 0n]]);
  });

  it("credits each of many once, in several batches at a time, with an event and a delivery for each", async () => {
    await test.database.query(
      `INSERT INTO endpoints (id, merchant_id, url, events, secret)
       VALUES ('end_all', $1, 'http://127.0.0.1', '{deposit.credited}', '\\x00')`,
      [MERCHANT_ID],
    );
    const transfers = Array.from({ length: 4_321 }, (_, n) =>
      transferOf({ to: n % 2 ? alice : bob, tx: `${n}`, amountBaseUnits: 100n }),
    );
    await ingest(blockOf(0), blockWith(blockOf(1), transfers));
    await deepen(blockOf(1), 3);
    expect(await settleDeposits(test.database, CHAIN_ID)).toMatchObject({
      credited: 4_321,
      deliveryCount: 4_321,
    });
    expect(await balanceOf("alice")).toEqual([[216_000n, 0n]]);
    const [events] = await test.database.query<{ count: bigint; right: bigint }>(
      `SELECT count(*), count(*) FILTER (WHERE body::json #>> '{data,id}' = deposit_id) AS right
       FROM events WHERE type = 'deposit.credited'`,
    );
    expect(events).toEqual({ count: 4_321n, right: 4_321n });
  });

  it("waits for a tag, and for the larger of a depth and a tag", async () => {
    const policy = [
      {
        upToBaseUnits: 1000n,
        credit: { depth: null, tag: "finalized" as const },
        unlock: { depth: null, tag: "finalized" as const },
      },
      {
        upToBaseUnits: null,
        credit: { depth: 3, tag: "safe" as const },
        unlock: { depth: null, tag: "finalized" as const },
      },
    ];
    const [asset] = assets;
    context = { ...context, assets: new Map([[null, { ...(asset as KnownAsset), policy }]]) };
    const small = transferOf({ to: alice, tx: "small", amountBaseUnits: 1000n });
    const large = transferOf({ to: bob, tx: "large", amountBaseUnits: 1001n });
    await ingest(blockOf(0), blockWith(blockOf(1), [small, large]));
    await deepen(blockOf(1), 3);
    const settledAt = async (safe: number | null, finalized: number | null) => {
      await test.database.query("UPDATE chains SET safe_number = $1, finalized_number = $2", [
        safe,
        finalized,
      ]);
      await settleDeposits(test.database, CHAIN_ID);
      return statuses();
    };
    expect(await settledAt(null, null)).toEqual(["pending", "pending"]);
    expect(await settledAt(0, 0)).toEqual(["pending", "pending"]);
    expect(await settledAt(1, 0)).toEqual(["credited", "pending"]);
    expect(await settledAt(1, 1)).toEqual(["unlocked", "unlocked"]);
  });

  it("settles nothing on a halted chain", async () => {
    await ingest(blockOf(0), blockWith(blockOf(1), [transferOf({ to: alice, tx: "1" })]));
    await deepen(blockOf(1), 3);
    await test.database.query("UPDATE chains SET state = 'halted', state_reason = 'test'");
    expect(await settleDeposits(test.database, CHAIN_ID)).toMatchObject({ credited: 0 });
  });
});

describe("undoing a reorg", () => {
  it("B1: orphans a pending deposit when its block leaves the canonical chain", async () => {
    const { deposits: made } = await ingest(
      blockOf(0),
      blockWith(blockOf(1), [transferOf({ to: alice, tx: "1" })]),
    );
    await undoReorg(test.database, claim(blockOf(1)), blockOf(0));
    expect(await statuses()).toEqual(["orphaned"]);
    expect(await moves(made[0]?.id ?? "")).toEqual(["pending", "orphaned"]);
  });

  it("B2: keeps one deposit with the same id when its transaction is included again elsewhere", async () => {
    const transfer = transferOf({ to: alice, tx: "1", source: "log:0", token: USDT });
    const { deposits: first } = await ingest(blockOf(0), blockWith(blockOf(1), [transfer]));
    await undoReorg(test.database, claim(blockOf(1)), blockOf(0));
    await ingest(blockOf(0), blockWith(blockOf(1, "B", "A")));
    const { deposits: again } = await ingest(blockOf(1, "B"), blockWith(blockOf(2, "B"), [transfer]));
    expect(again.map((each) => each.id)).toEqual(first.map((each) => each.id));
    expect(again[0]).toMatchObject({
      status: "pending",
      blockNumber: 2n,
      blockHash: blockOf(2, "B").hash,
      sequence: 3,
    });
    expect(await statuses()).toEqual(["pending"]);
  });

  it("B4: reverses a credited deposit with its ledger entry, and credits it again by a new one", async () => {
    const transfer = transferOf({ to: alice, tx: "1" });
    await ingest(blockOf(0), blockWith(blockOf(1), [transfer]));
    const head = await deepen(blockOf(1), 3);
    await settleDeposits(test.database, CHAIN_ID);
    expect(await balanceOf("alice")).toEqual([[10n ** 18n, 0n]]);

    const undone = await undoReorg(test.database, claim(head), blockOf(0));
    expect(undone.reversed.map((each) => each.status)).toEqual(["reversed"]);
    expect(await balanceOf("alice")).toEqual([[0n, 0n]]);

    await ingest(blockOf(0), blockWith(blockOf(1, "B", "A"), [transfer]));
    await deepen(blockOf(1, "B"), 3, "B");
    await settleDeposits(test.database, CHAIN_ID);
    expect(await balanceOf("alice")).toEqual([[10n ** 18n, 0n]]);
    const [deposit] = await deposits();
    expect(await moves(deposit?.id ?? "")).toEqual([
      "pending",
      "credited",
      "reversed",
      "pending",
      "credited",
    ]);
    const entries = await test.database.query(
      "SELECT kind, generation FROM ledger_entries ORDER BY created_at, kind",
    );
    expect(entries).toEqual([
      { kind: "credit", generation: 1 },
      { kind: "reversal", generation: 1 },
      { kind: "credit", generation: 2 },
    ]);
  });

  it("B4: makes a receivable of what the user no longer has, and is not refused", async () => {
    await ingest(
      blockOf(0),
      blockWith(blockOf(1), [transferOf({ to: alice, tx: "1", amountBaseUnits: 1000n })]),
    );
    const head = await deepen(blockOf(1), 5);
    await settleDeposits(test.database, CHAIN_ID);
    await spend("alice", 300n);
    const undone = await undoReorg(test.database, claim(head), blockOf(0));
    expect(undone.reversed.map((each) => each.shortfallBaseUnits)).toEqual([300n]);
    const rows = await test.database.query(
      "SELECT kind, balance::int AS balance FROM ledger_accounts WHERE balance IS NOT NULL AND kind <> 'locked' ORDER BY kind",
    );
    expect(rows).toEqual([
      { kind: "available", balance: 0 },
      { kind: "receivable", balance: -300 },
    ]);
  });

  it("B6: lets the amount and recipient of the new branch count", async () => {
    await ingest(
      blockOf(0),
      blockWith(blockOf(1), [transferOf({ to: alice, tx: "1", amountBaseUnits: 500n })]),
    );
    await undoReorg(test.database, claim(blockOf(1)), blockOf(0));
    await ingest(
      blockOf(0),
      blockWith(blockOf(1, "B", "A"), [transferOf({ to: bob, tx: "1", amountBaseUnits: 700n })]),
    );
    expect((await deposits()).map((each) => [each.userId, each.amountBaseUnits, each.status])).toEqual([
      ["bob", 700n, "pending"],
    ]);
  });

  it("B12: ends as the chain ends when branches flip back and forth five times", async () => {
    const transfer = transferOf({ to: alice, tx: "1" });
    await ingest(blockOf(0), blockWith(blockOf(1), [transfer]));
    for (let flip = 1; flip <= 5; flip++) {
      const [here, there] = flip % 2 ? ["A", "B"] : ["B", "A"];
      await undoReorg(test.database, claim(blockOf(1, here, "A")), blockOf(0));
      await ingest(blockOf(0), blockWith(blockOf(1, there, "A"), there === "A" ? [transfer] : []));
    }
    expect(await statuses()).toEqual(["orphaned"]);
    const [deposit] = await deposits();
    expect(await moves(deposit?.id ?? "")).toEqual([
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
  await debitUser(test.database, {
    merchantId: MERCHANT_ID,
    userId,
    assetId: assets[0]?.id ?? 0,
    amountBaseUnits,
    key: "spend",
    note: null,
  });
}

async function waitUntilBlocked(): Promise<void> {
  for (;;) {
    const [row] = await test.database.query<{ waiting: boolean }>(
      "SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted AND relation = 'registration_gate'::regclass) AS waiting",
    );
    if (row?.waiting === true) return;
  }
}
