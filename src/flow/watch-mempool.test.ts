/** Seen payments against a real PostgreSQL, with hand-made blocks and nodes that say what the test wants. */
import { encodeFunctionData } from "viem";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { DEFAULT_EVENT_TYPES } from "../core/event.ts";
import type { Hash } from "../core/hex.ts";
import type { SeenPayment } from "../core/seen-payment.ts";
import { judgePending } from "../deposits/judge-pending.ts";
import { listSeenPayments } from "../deposits/seen-payment-list-store.ts";
import { deleteEndedSeenPayments } from "../deposits/seen-payment-store.ts";
import { listUserBalances } from "../ledger/ledger-store.ts";
import { pendingTransfers } from "../matcher/pending-transfers.ts";
import { registerAddress } from "../merchants/address-store.ts";
import type { MempoolNodes } from "../rpc/mempool/mempool-nodes.ts";
import type { NonceUse } from "../rpc/mempool/nonce-use.ts";
import type { PendingTransaction, Whereabouts } from "../rpc/mempool/pending-transaction.ts";
import type { ChainConfig } from "../runtime/config/config.ts";
import { silentLogger } from "../runtime/logger.ts";
import { systemRandom } from "../runtime/random.ts";
import { tokenAbi } from "../testing/contracts.ts";
import { createTestDatabase, type TestDatabase } from "../testing/database.ts";
import {
  addressOf,
  assetOf,
  blockOf,
  blockWith,
  CHAIN_ID,
  hashOf,
  MERCHANT_ID,
  seedChain,
  transferOf,
  USDT,
} from "../testing/factory.ts";
import { createFakeClock, type FakeClock } from "../testing/fake-clock.ts";
import { type IngestContext, ingestBlocks, thresholdRules } from "./ingest-block.ts";
import { recordPending } from "./record-seen-payments.ts";
import { settleDeposits } from "./settle-deposits.ts";
import { undoReorg } from "./undo-reorg.ts";
import { loadAddressWatch } from "./watch-addresses.ts";
import { createMempoolWatcher, type MempoolWatcher, MOST_LIVE } from "./watch-mempool.ts";

const HOLDER = "this daemon";
const alice = addressOf("alice");
const payer = addressOf("payer");

let test: TestDatabase;
let context: IngestContext;
let clock: FakeClock;
let node: FakeNode;
let watcher: MempoolWatcher;
let woken: number;

/** What the nodes say. */
interface FakeNode {
  waiting: PendingTransaction[];
  whereabouts: Map<Hash, Whereabouts>;
  nonceUse: NonceUse | null;
  isAway: boolean;
}

beforeEach(async () => {
  test = await createTestDatabase();
  const assets = await seedChain(test.database, [
    assetOf({ minimumBaseUnits: 100n }),
    assetOf({ token: USDT, currency: "USDT", decimals: 6 }),
  ]);
  await registerAddress(test.database, { address: alice, merchantId: MERCHANT_ID, userId: "alice" });
  await test.database.query("UPDATE chains SET lease_holder = $1", [HOLDER]);
  await addEndpoint("end_named", ["deposit.seen"]);
  await addEndpoint("end_default", DEFAULT_EVENT_TYPES);
  context = {
    database: test.database,
    chainId: CHAIN_ID,
    assets: new Map(assets.map((asset) => [asset.token, asset])),
    nativeSource: "value",
    ownWallets: new Set([addressOf("hot wallet")]),
    reorgWindow: 64,
    watch: await loadAddressWatch(test.database, systemRandom),
  };
  clock = createFakeClock();
  node = { waiting: [], whereabouts: new Map(), nonceUse: { isUsed: false, by: null }, isAway: false };
  woken = 0;
  watcher = startWatcher();
});
afterEach(() => test.drop());

function addEndpoint(id: string, events: readonly string[]) {
  return test.database.query(
    "INSERT INTO endpoints (id, merchant_id, url, events, secret) VALUES ($1, $2, 'http://127.0.0.1', $3, '\\x00')",
    [id, MERCHANT_ID, events],
  );
}

function startWatcher(holder = HOLDER): MempoolWatcher {
  const nodes: MempoolNodes = {
    look: async () => ({
      transactions: node.isAway ? [] : node.waiting,
      junkCount: 0,
      leftOutCount: 0,
      isAnswered: !node.isAway,
    }),
    whereIs: async (hash) => {
      if (node.isAway) return null;
      const isWaiting = node.waiting.some((transaction) => transaction.hash === hash);
      return node.whereabouts.get(hash) ?? { is: isWaiting ? "waiting" : "unknown" };
    },
    nonceUse: async () => (node.isAway ? null : node.nonceUse),
    status: () => [],
    probe: async () => [],
    close: async () => undefined,
  };
  const chain: ChainConfig = {
    id: CHAIN_ID,
    name: "local",
    nodes: [],
    startBlock: 0n,
    blockTimeMs: 1_000,
    pollIntervalMs: 50,
    reorgWindow: 64,
    fetchConcurrency: 4,
    fetchThreads: 0,
    backfill: "blocks",
    mempool: true,
    witnesses: 1,
    verification: "none",
    internal: "none",
    nativeSource: "value",
    ownWallets: [],
    assets: [],
  };
  return createMempoolWatcher({
    database: test.database,
    chain,
    nodes,
    ingest: context,
    wakers: {
      deliver: async () => {
        woken += 1;
      },
    },
    clock,
    logger: silentLogger,
    metrics: { onLook: () => undefined, onMoves: () => undefined },
    holder,
  });
}

const DROP_AFTER_MS = 10_000;
const look = () => watcher.look(new AbortController().signal);

/** The same transaction as `transferOf` makes of this name. */
function paymentOf(tx: string, given: Partial<PendingTransaction> = {}): PendingTransaction {
  return {
    hash: hashOf(`tx ${tx}`),
    from: payer,
    to: alice,
    nonce: 3n,
    valueWei: 1_000n,
    input: "0x",
    ...given,
  };
}

async function seenPayments(): Promise<SeenPayment[]> {
  return listSeenPayments(test.database, { merchantId: MERCHANT_ID, limit: 1_000 });
}
async function onlySeen(): Promise<SeenPayment> {
  const [seen, ...more] = await seenPayments();
  if (seen === undefined || more.length > 0) throw new Error(`There are ${more.length + 1} seen payments`);
  return seen;
}
/** What was told of it, in order: status and sequence. */
async function told(): Promise<string[]> {
  const rows = await test.database.query<{ body: string }>(
    "SELECT body FROM events WHERE type = 'deposit.seen' ORDER BY seen_id, sequence",
  );
  return rows.map(({ body }) => {
    const { data } = JSON.parse(body) as { data: { status: string; sequence: number } };
    return `${data.sequence} ${data.status}`;
  });
}
const deliveries = async () =>
  (
    await test.database.query<{ endpoint_id: string }>(
      `SELECT d.endpoint_id FROM deliveries d JOIN events e ON e.id = d.event_id WHERE e.type = 'deposit.seen'`,
    )
  ).map((row) => row.endpoint_id);
const countOf = async (table: string) => (await test.database.query(`SELECT FROM ${table}`)).length;

/** Lets its nodes forget it, for as long as a drop takes. */
async function forget(): Promise<void> {
  node.waiting = [];
  await look();
  await clock.advance(DROP_AFTER_MS);
  await look();
}

const claim = (number: number, branch = "A") => {
  const { hash } = blockOf(number, branch);
  return { chainId: CHAIN_ID, number: BigInt(number), hash, leaseToken: 0n };
};
const mine = (number: number, tx?: string, branch = "A", parentBranch = branch) =>
  ingestBlocks(context, claim(number - 1, parentBranch), [
    blockWith(
      blockOf(number, branch, parentBranch),
      tx === undefined ? [] : [transferOf({ to: alice, tx, from: payer, amountBaseUnits: 1_000n })],
    ),
  ]);

describe("a payment that waits in the mempool", () => {
  it("is shown with whose it is, and told only to endpoints that name the type", async () => {
    node.waiting = [paymentOf("1"), paymentOf("2", { to: addressOf("stranger") })];
    await look();
    await look();
    expect(await onlySeen()).toMatchObject({
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
    expect(await told()).toEqual(["1 seen"]);
    expect(await deliveries()).toEqual(["end_named"]);
    expect(woken).toBe(1);
  });

  it("is seen for an address that was registered since the last block", async () => {
    const bob = addressOf("bob");
    await registerAddress(test.database, { address: bob, merchantId: MERCHANT_ID, userId: "bob" });
    node.waiting = [paymentOf("1", { to: bob })];
    await look();
    expect(await onlySeen()).toMatchObject({ userId: "bob", status: "seen" });
  });

  it("is neither a deposit nor anything in the ledger, whatever becomes of it", async () => {
    node.waiting = [paymentOf("1")];
    await look();
    await forget();
    await settleDeposits(test.database, CHAIN_ID, new AbortController().signal);
    expect(await countOf("deposits")).toBe(0);
    expect(await countOf("ledger_entries")).toBe(0);
    expect(await listUserBalances(test.database, MERCHANT_ID, "alice")).toEqual([]);
  });

  it("may be a transfer called on a listed token", async () => {
    const input = encodeFunctionData({ abi: tokenAbi, functionName: "transfer", args: [alice, 2_500_000n] });
    node.waiting = [
      paymentOf("1", { to: USDT, valueWei: 0n, input }),
      paymentOf("2", { to: addressOf("fake usdt"), valueWei: 0n, input }),
    ];
    await look();
    expect(await onlySeen()).toMatchObject({ source: "call", token: USDT, amountBaseUnits: 2_500_000n });
  });

  it("is not told of when it is below the minimum or comes from a wallet of the merchant's own", async () => {
    node.waiting = [paymentOf("1", { valueWei: 99n }), paymentOf("2", { from: addressOf("hot wallet") })];
    await look();
    expect(await seenPayments()).toEqual([]);
    node.waiting = [paymentOf("3", { valueWei: 100n })];
    await look();
    expect(await seenPayments()).toHaveLength(1);
  });

  it("is told once when two daemons see it, and looked for only by the one that follows the chain", async () => {
    node.waiting = [paymentOf("1")];
    expect(await startWatcher("another daemon").look(new AbortController().signal)).toBe(false);
    expect(await seenPayments()).toEqual([]);
    await Promise.all([look(), startWatcher().look(new AbortController().signal)]);
    expect(await told()).toEqual(["1 seen"]);
  });

  it("is written once by two daemons that both found it new", async () => {
    const [transfer] = pendingTransfers(paymentOf("1"), new Set());
    if (transfer === undefined) throw new Error("There is no transfer");
    const judged = judgePending(transfer, context, thresholdRules);
    const both = judged === null ? [] : [judged];
    expect((await recordPending(test.database, CHAIN_ID, both)).changed).toHaveLength(1);
    expect((await recordPending(test.database, CHAIN_ID, both)).changed).toEqual([]);
    expect(await told()).toEqual(["1 seen"]);
  });

  it("is not taken up when its deposit stands already: some node is late", async () => {
    await mine(1, "1");
    node.waiting = [paymentOf("1")];
    await look();
    expect(await seenPayments()).toEqual([]);
  });

  it("is left out while too many wait, and taken up when some have ended", async () => {
    await test.database.query(
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
    node.waiting = [paymentOf("1"), paymentOf("2", { nonce: 4n })];
    await look();
    expect(await told()).toEqual(["1 seen"]);
    await test.database.query("UPDATE seen_payments SET status = 'dropped' WHERE id < 'see_2'");
    await look();
    expect(await told()).toEqual(["1 seen", "1 seen"]);
  });

  it("is examined in turn with the others, however many wait", async () => {
    node.waiting = Array.from({ length: 120 }, (_, n) => paymentOf(`${n}`, { nonce: BigInt(n) }));
    await look();
    const used = hashOf("tx other");
    node.waiting = [];
    node.nonceUse = { isUsed: true, by: used };
    for (let looks = 0; looks < 3; looks++) await look();
    expect((await seenPayments()).map((seen) => seen.status)).toEqual(Array(120).fill("replaced"));
  });
});

describe("a seen payment that is mined", () => {
  it("names its deposit as soon as that stands, and is told with it", async () => {
    node.waiting = [paymentOf("1")];
    await look();
    const { deposits } = await mine(1, "1");
    await look();
    const { hash } = blockOf(1);
    expect(await onlySeen()).toMatchObject({
      status: "mined",
      sequence: 2,
      block: { number: 1n, hash },
      depositIds: deposits.map((deposit) => deposit.id),
    });
    expect(await told()).toEqual(["1 seen", "2 mined"]);
  });

  it("names no deposit when it failed", async () => {
    node.waiting = [paymentOf("1")];
    await look();
    await mine(1);
    node.waiting = [];
    node.whereabouts.set(hashOf("tx 1"), { is: "mined", block: { number: 1n, hash: blockOf(1).hash } });
    await look();
    expect(await onlySeen()).toMatchObject({ status: "mined", depositIds: [] });
  });

  it("waits for its block to be ingested, whatever a node says", async () => {
    node.waiting = [paymentOf("1")];
    await look();
    node.whereabouts.set(hashOf("tx 1"), { is: "mined", block: { number: 1n, hash: blockOf(1).hash } });
    await look();
    expect((await onlySeen()).status).toBe("seen");
    await mine(1, undefined, "B", "A");
    await look();
    expect((await onlySeen()).status).toBe("seen");
  });

  it("is so even after it was dropped", async () => {
    node.waiting = [paymentOf("1")];
    await look();
    await forget();
    expect((await onlySeen()).status).toBe("dropped");
    await mine(1, "1");
    await look();
    expect(await told()).toEqual(["1 seen", "2 dropped", "3 mined"]);
  });

  it("A13: says that it is mined and made no deposit, when it fails in a block after it was dropped", async () => {
    node.waiting = [paymentOf("1")];
    await look();
    await forget();
    await mine(1);
    node.whereabouts.set(hashOf("tx 1"), { is: "mined", block: { number: 1n, hash: blockOf(1).hash } });
    await look();
    expect(await onlySeen()).toMatchObject({ status: "mined", depositIds: [] });
    expect(await told()).toEqual(["1 seen", "2 dropped", "3 mined"]);
  });

  it("A13: waits again when a reorg takes its block, and is replaced when another has its nonce then", async () => {
    node.waiting = [paymentOf("1")];
    await look();
    await mine(1, "1");
    await look();
    await undoReorg(test.database, claim(1), blockOf(0));
    await mine(1, undefined, "B", "A");
    node.waiting = [];
    node.nonceUse = { isUsed: true, by: hashOf("tx other") };
    await look();
    expect(await told()).toEqual(["1 seen", "2 mined", "3 seen", "4 replaced"]);
    expect(await onlySeen()).toMatchObject({ replacedBy: hashOf("tx other"), block: null, depositIds: [] });
    expect(await listUserBalances(test.database, MERCHANT_ID, "alice")).toEqual([]);
  });

  it("is mined again on the other branch", async () => {
    node.waiting = [paymentOf("1")];
    await look();
    await mine(1, "1");
    await look();
    await undoReorg(test.database, claim(1), blockOf(0));
    await mine(1, undefined, "B", "A");
    await mine(2, "1", "B");
    await look();
    expect(await told()).toEqual(["1 seen", "2 mined", "3 seen", "4 mined"]);
    expect((await onlySeen()).block).toEqual({ number: 2n, hash: blockOf(2, "B").hash });
  });
});

describe("a seen payment that is not mined", () => {
  it("A13: is replaced at once when another with its nonce waits in its place", async () => {
    node.waiting = [paymentOf("1")];
    await look();
    node.waiting = [paymentOf("2", { to: addressOf("stranger") })];
    await look();
    expect(await onlySeen()).toMatchObject({ status: "replaced", replacedBy: hashOf("tx 2") });
    expect(await told()).toEqual(["1 seen", "2 replaced"]);
  });

  it("stays while any node has it waiting, though another has what would replace it", async () => {
    node.waiting = [paymentOf("1"), paymentOf("2", { to: addressOf("stranger") })];
    await look();
    await look();
    expect(await told()).toEqual(["1 seen"]);
  });

  it("is replaced by what is in a block, though a node goes on telling of it", async () => {
    node.waiting = [paymentOf("1"), paymentOf("2", { nonce: 4n })];
    await look();
    node.nonceUse = { isUsed: true, by: hashOf("tx other") };
    await look();
    expect(await told()).toEqual(["1 seen", "1 seen"]);
    // There is a rival for the first; the nonce of the second is asked for now and then.
    node.waiting.push(paymentOf("3", { to: addressOf("stranger") }));
    await look();
    const [first] = (await seenPayments()).filter((seen) => seen.nonce === 3n);
    expect(first).toMatchObject({ status: "replaced", replacedBy: hashOf("tx other") });
    node.waiting = [paymentOf("2", { nonce: 4n })];
    await clock.advance(DROP_AFTER_MS);
    await look();
    expect((await seenPayments()).map((seen) => seen.status)).toEqual(["replaced", "replaced"]);
  });

  it("is not replaced by one that nobody knows any more", async () => {
    node.waiting = [paymentOf("1"), paymentOf("2", { to: addressOf("stranger") })];
    await look();
    node.waiting = [];
    await look();
    expect((await onlySeen()).status).toBe("seen");
  });

  it("A13: is dropped when no node has known it for ten blocks' time, and not before", async () => {
    node.waiting = [paymentOf("1")];
    await look();
    node.waiting = [];
    await look();
    await clock.advance(DROP_AFTER_MS - 1);
    await look();
    expect((await onlySeen()).status).toBe("seen");
    await clock.advance(1);
    await look();
    expect(await onlySeen()).toMatchObject({ status: "dropped", replacedBy: null });
    expect(await told()).toEqual(["1 seen", "2 dropped"]);
  });

  it("counts the time anew when a node knows it again", async () => {
    node.waiting = [paymentOf("1")];
    await look();
    node.waiting = [];
    await look();
    await clock.advance(DROP_AFTER_MS - 1);
    node.waiting = [paymentOf("1")];
    await look();
    node.waiting = [];
    await look();
    await clock.advance(1);
    await look();
    expect((await onlySeen()).status).toBe("seen");
  });

  it("is neither dropped nor replaced while no node answers", async () => {
    node.waiting = [paymentOf("1")];
    await look();
    node.isAway = true;
    await look();
    await clock.advance(10 * DROP_AFTER_MS);
    await look();
    expect((await onlySeen()).status).toBe("seen");
  });

  it("is replaced by nobody knows what when its nonce is used and no near block says by whom", async () => {
    node.waiting = [paymentOf("1")];
    await look();
    node.nonceUse = { isUsed: true, by: null };
    await forget();
    expect(await onlySeen()).toMatchObject({ status: "replaced", replacedBy: null });
  });

  it("is not replaced by itself: its own block may be ahead of the node that was asked", async () => {
    node.waiting = [paymentOf("1")];
    await look();
    node.nonceUse = { isUsed: true, by: hashOf("tx 1") };
    await forget();
    expect((await onlySeen()).status).toBe("seen");
  });

  it("is seen again, with the next sequence, when it comes back", async () => {
    node.waiting = [paymentOf("1")];
    await look();
    await forget();
    node.waiting = [paymentOf("1")];
    await look();
    expect(await told()).toEqual(["1 seen", "2 dropped", "3 seen"]);
    expect((await onlySeen()).status).toBe("seen");
  });
});

describe("old seen payments", () => {
  it("are deleted a week after they ended, their events stay, and the sequence goes on if one comes back", async () => {
    node.waiting = [paymentOf("1"), paymentOf("2", { nonce: 4n })];
    await look();
    node.waiting = [paymentOf("2", { nonce: 4n })];
    await look();
    await clock.advance(DROP_AFTER_MS);
    await look();
    expect(await deleteEndedSeenPayments(test.database, 7)).toBe(0);
    await test.database.query("UPDATE seen_payments SET changed_at = now() - interval '8 days'");
    expect(await deleteEndedSeenPayments(test.database, 7)).toBe(1);
    expect((await seenPayments()).map((seen) => seen.status)).toEqual(["seen"]);
    expect(await told()).toHaveLength(3);
    node.waiting = [paymentOf("1"), paymentOf("2", { nonce: 4n })];
    await look();
    const [back] = (await seenPayments()).filter((seen) => seen.txHash === hashOf("tx 1"));
    expect(back).toMatchObject({ status: "seen", sequence: 3 });
  });
});
