/** Ingesting and settling against a real PostgreSQL, with hand-made blocks. `undo-reorg.test.ts` is the third of them. */
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { KnownAsset } from "../core/asset.ts";
import { DEFAULT_EVENT_TYPES } from "../core/event.ts";
import { registerAddress } from "../merchants/address-store.ts";
import { getChainState } from "../scanner/chain-store.ts";
import {
  addressOf,
  blockOf,
  blockWith,
  CHAIN_ID,
  MERCHANT_ID,
  transferOf,
  USDT,
} from "../testing/factory.ts";
import { claimAt, createHandmadeChain, type HandmadeChain } from "../testing/handmade-chain.ts";
import { waitFor } from "../testing/wait-for.ts";
import { ingestBlocks } from "./ingest-block.ts";
import { settleDeposits } from "./settle-deposits.ts";

const alice = addressOf("alice");
const bob = addressOf("bob");

let chain: HandmadeChain;
beforeEach(async () => {
  chain = await createHandmadeChain();
});
afterEach(() => chain.test.drop());

describe("ingesting", () => {
  it("makes a pending deposit of a transfer to a watched address, with its event", async () => {
    const result = await chain.ingest(
      blockOf(0),
      blockWith(blockOf(1), [transferOf({ to: alice, tx: "1" })]),
    );
    expect(result.deposits.map((deposit) => [deposit.status, deposit.userId])).toEqual([
      ["pending", "alice"],
    ]);
    expect(result.targetBlocks).toEqual([3n, 5n]);
    expect(await chain.moves(result.deposits[0]?.id ?? "")).toEqual(["pending"]);
  });

  it("leaves transfers to others alone", async () => {
    const result = await chain.ingest(
      blockOf(0),
      blockWith(blockOf(1), [transferOf({ to: addressOf("stranger"), tx: "1" })]),
    );
    expect(result.deposits).toEqual([]);
  });

  it("A3: keeps a look-alike token as ignored, never to be credited", async () => {
    const fake = transferOf({ to: alice, tx: "1", source: "log:0", token: addressOf("fake usdt") });
    await chain.ingest(blockOf(0), blockWith(blockOf(1), [fake]));
    await chain.deepen(blockOf(1), 8);
    await settleDeposits(chain.test.database, CHAIN_ID);
    expect((await chain.deposits()).map((each) => [each.status, each.reason, each.currency])).toEqual([
      ["ignored", "unlisted_asset", null],
    ]);
    expect(await chain.balanceOf("alice")).toEqual([]);
  });

  it("keeps a deposit below the minimum as ignored, and takes one exactly at it", async () => {
    const dust = transferOf({ to: alice, tx: "1", amountBaseUnits: 99n });
    const enough = transferOf({ to: alice, tx: "2", amountBaseUnits: 100n });
    await chain.ingest(blockOf(0), blockWith(blockOf(1), [dust, enough]));
    expect((await chain.deposits()).map((each) => [each.amountBaseUnits, each.reason]).sort()).toEqual([
      [100n, null],
      [99n, "below_minimum"],
    ]);
  });

  it("A9: keeps what comes from a wallet of the merchant's own as ignored", async () => {
    const topUp = transferOf({ to: alice, tx: "1", from: addressOf("hot wallet") });
    await chain.ingest(blockOf(0), blockWith(blockOf(1), [topUp]));
    expect((await chain.deposits()).map((each) => [each.status, each.reason])).toEqual([
      ["ignored", "own_transfer"],
    ]);
  });

  it("A9: keeps what an address sends to itself as ignored: nothing came in", async () => {
    const coin = transferOf({ to: alice, from: alice, tx: "1" });
    const token = transferOf({ to: alice, from: alice, tx: "2", source: "log:0", token: USDT });
    await chain.ingest(blockOf(0), blockWith(blockOf(1), [coin, token]));
    expect((await chain.deposits()).map((each) => [each.status, each.reason])).toEqual([
      ["ignored", "own_transfer"],
      ["ignored", "own_transfer"],
    ]);
  });

  it("A8: keeps 10,000 transfers below the minimum as ignored, in one batch and without a delivery", async () => {
    await chain.test.database.query(
      `INSERT INTO endpoints (id, merchant_id, url, events, secret)
       VALUES ('end_all', $1, 'http://127.0.0.1', $2, '\\x00')`,
      [MERCHANT_ID, DEFAULT_EVENT_TYPES],
    );
    const dust = Array.from({ length: 10_000 }, (_, n) =>
      transferOf({ to: alice, tx: `${n}`, amountBaseUnits: 99n }),
    );
    const result = await chain.ingest(blockOf(0), blockWith(blockOf(1), dust));
    expect(result).toMatchObject({ deliveryCount: 0, targetBlocks: [], isAnythingDue: false });
    const rows = await chain.test.database.query(
      "SELECT status, reason, count(*)::int FROM deposits GROUP BY 1, 2",
    );
    expect(rows).toEqual([{ status: "ignored", reason: "below_minimum", count: 10_000 }]);
  });

  it("G1: makes a callback due at once, or as much later as its endpoint's schedule begins", async () => {
    await chain.test.database.query(
      `INSERT INTO endpoints (id, merchant_id, url, events, secret, first_delay_ms)
       VALUES ('end_now', $1, 'http://127.0.0.1', $2, '\\x00', 0), ('end_later', $1, 'http://127.0.0.1', $2, '\\x00', 60000)`,
      [MERCHANT_ID, DEFAULT_EVENT_TYPES],
    );
    await chain.ingest(blockOf(0), blockWith(blockOf(1), [transferOf({ to: alice, tx: "1" })]));
    const rows = await chain.test.database.query(
      `SELECT endpoint_id, extract(epoch FROM next_attempt_at - created_at)::integer AS seconds
       FROM due_deliveries ORDER BY seconds`,
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
    await chain.ingest(
      blockOf(0),
      blockWith(blockOf(1), [...transfers, transferOf({ to: bob, tx: "1", source: "log:3", token: USDT })]),
    );
    expect(await chain.statuses()).toEqual(["pending", "pending", "pending", "pending"]);
  });

  it("D7: takes native coin and token of one transaction as two deposits", async () => {
    const native = transferOf({ to: alice, tx: "1" });
    const token = transferOf({ to: alice, tx: "1", source: "log:0", token: USDT });
    await chain.ingest(blockOf(0), blockWith(blockOf(1), [native, token]));
    expect((await chain.deposits()).map((each) => each.currency).sort()).toEqual(["ETH", "USDT"]);
  });

  it("changes nothing when the same block is ingested from where the cursor no longer is", async () => {
    const block = blockWith(blockOf(1), [transferOf({ to: alice, tx: "1" })]);
    await chain.ingest(blockOf(0), block);
    await expect(chain.ingest(blockOf(0), block)).rejects.toMatchObject({
      code: "cursor_moved",
      retryable: true,
    });
    expect(await chain.statuses()).toEqual(["pending"]);
  });

  it("refuses a follower whose lease has passed to another", async () => {
    await chain.test.database.query("UPDATE chains SET lease_token = lease_token + 1");
    await expect(chain.ingest(blockOf(0), blockWith(blockOf(1)))).rejects.toMatchObject({
      code: "cursor_moved",
    });
  });

  it("keeps block refs of the window only", async () => {
    const context = { ...chain.context, reorgWindow: 3 };
    const blocks = [1, 2, 3, 4, 5].map((number) => blockWith(blockOf(number)));
    await ingestBlocks(context, claimAt(blockOf(0)), blocks);
    const refs = await chain.test.database.query<{ number: bigint }>(
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
    const before = chain.context.watch.lastNumber;
    await registerAddress(chain.test.database, { address: carol, merchantId: MERCHANT_ID, userId: "carol" });
    expect(chain.context.watch.lastNumber).toBe(before);
    const result = await chain.ingest(blockOf(0), block);
    expect(result.deposits.map((deposit) => deposit.userId)).toEqual(["carol"]);
  });

  it("D12: makes a registration wait while an ingest is between its last look and its commit", async () => {
    const dan = addressOf("dan");
    const order: string[] = [];
    const waits: Promise<unknown>[] = [];
    await chain.test.database.transaction(async (tx) => {
      // The ingest comes as far as its deposits, which it writes after its last look at the addresses.
      await tx.query("LOCK TABLE deposits IN ACCESS EXCLUSIVE MODE");
      const block = blockWith(blockOf(1), [transferOf({ to: alice, tx: "1" })]);
      waits.push(chain.ingest(blockOf(0), block).then(() => order.push("committed")));
      await untilBlocked("deposits");
      const registering = registerAddress(chain.test.database, {
        address: dan,
        merchantId: MERCHANT_ID,
        userId: "dan",
      }).then(() => order.push("registered"));
      waits.push(registering);
      await Promise.race([untilBlocked("registration_gate"), registering]);
    });
    await Promise.all(waits);
    expect(order).toEqual(["committed", "registered"]);
  });

  it("D12: loses none of many addresses registered over several connections while their deposits are ingested", async () => {
    const names = Array.from({ length: 120 }, (_, n) => `user-${n}`);
    const cursorAfterAnswer = new Map<string, bigint>();
    const register = async (part: number) => {
      for (const name of names.filter((_, n) => n % 4 === part)) {
        await registerAddress(chain.test.database, {
          address: addressOf(name),
          merchantId: MERCHANT_ID,
          userId: name,
        });
        const state = await getChainState(chain.test.database, CHAIN_ID);
        cursorAfterAnswer.set(name, state.cursorNumber ?? 0n);
      }
    };
    const follow = async () => {
      let last = blockOf(0);
      for (let number = 1; number <= 40; number++) {
        const block = blockOf(number);
        const transfers = names.map((name) => transferOf({ to: addressOf(name), tx: `${number} ${name}` }));
        await chain.ingest(last, blockWith(block, transfers));
        last = block;
      }
    };
    await Promise.all([follow(), ...[0, 1, 2, 3].map(register)]);
    const rows = await chain.test.database.query<{ user_id: string; blocks: bigint }>(
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
    await chain.ingest(blockOf(0), blockWith(blockOf(1), [transferOf({ to: alice, tx: "1" })]));
    const at = async (block: number, from: number) => {
      await chain.deepen(blockOf(from), block);
      await settleDeposits(chain.test.database, CHAIN_ID);
      return chain.statuses();
    };
    expect(await at(2, 1)).toEqual(["pending"]);
    expect(await at(3, 2)).toEqual(["credited"]);
    expect(await at(4, 3)).toEqual(["credited"]);
    expect(await at(5, 4)).toEqual(["unlocked"]);
    expect(await chain.balanceOf("alice")).toEqual([[0n, 10n ** 18n]]);
  });

  it("credits once when several settlers run at the same time", async () => {
    const transfers = Array.from({ length: 300 }, (_, n) =>
      transferOf({ to: n % 2 ? alice : bob, tx: `${n}` }),
    );
    await chain.ingest(blockOf(0), blockWith(blockOf(1), transfers));
    await chain.deepen(blockOf(1), 3);
    const results = await Promise.all([1, 2, 3].map(() => settleDeposits(chain.test.database, CHAIN_ID)));
    expect(results.reduce((sum, result) => sum + result.credited, 0)).toBe(300);
    expect(await chain.balanceOf("alice")).toEqual([[150n * 10n ** 18n, 0n]]);
  });

  it("credits each of many once, in several batches at a time, with an event and a delivery for each", async () => {
    await chain.test.database.query(
      `INSERT INTO endpoints (id, merchant_id, url, events, secret)
       VALUES ('end_all', $1, 'http://127.0.0.1', '{deposit.credited}', '\\x00')`,
      [MERCHANT_ID],
    );
    const transfers = Array.from({ length: 4_321 }, (_, n) =>
      transferOf({ to: n % 2 ? alice : bob, tx: `${n}`, amountBaseUnits: 100n }),
    );
    await chain.ingest(blockOf(0), blockWith(blockOf(1), transfers));
    await chain.deepen(blockOf(1), 3);
    expect(await settleDeposits(chain.test.database, CHAIN_ID)).toMatchObject({
      credited: 4_321,
      deliveryCount: 4_321,
    });
    expect(await chain.balanceOf("alice")).toEqual([[216_000n, 0n]]);
    const [events] = await chain.test.database.query<{ count: bigint; right: bigint }>(
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
    const [asset] = chain.assets;
    const listed = new Map([[null, { ...(asset as KnownAsset), policy }]]);
    const small = transferOf({ to: alice, tx: "small", amountBaseUnits: 1000n });
    const large = transferOf({ to: bob, tx: "large", amountBaseUnits: 1001n });
    const block = blockWith(blockOf(1), [small, large]);
    await ingestBlocks({ ...chain.context, assets: listed }, claimAt(blockOf(0)), [block]);
    await chain.deepen(blockOf(1), 3);
    const settledAt = async (safe: number | null, finalized: number | null) => {
      await chain.test.database.query("UPDATE chains SET safe_number = $1, finalized_number = $2", [
        safe,
        finalized,
      ]);
      await settleDeposits(chain.test.database, CHAIN_ID);
      return chain.statuses();
    };
    expect(await settledAt(null, null)).toEqual(["pending", "pending"]);
    expect(await settledAt(0, 0)).toEqual(["pending", "pending"]);
    expect(await settledAt(1, 0)).toEqual(["credited", "pending"]);
    expect(await settledAt(1, 1)).toEqual(["unlocked", "unlocked"]);
  });

  it("settles nothing on a halted chain", async () => {
    await chain.ingest(blockOf(0), blockWith(blockOf(1), [transferOf({ to: alice, tx: "1" })]));
    await chain.deepen(blockOf(1), 3);
    await chain.test.database.query("UPDATE chains SET state = 'halted', state_reason = 'test'");
    expect(await settleDeposits(chain.test.database, CHAIN_ID)).toMatchObject({ credited: 0 });
  });
});

/** Somebody waits for a lock on the table. */
function untilBlocked(table: string): Promise<boolean> {
  const isBlocked = async () => {
    const [row] = await chain.test.database.query<{ waiting: boolean }>(
      "SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted AND relation = $1::regclass) AS waiting",
      [table],
    );
    return row?.waiting === true;
  };
  return waitFor(isBlocked, { what: `somebody to wait for ${table}` });
}
