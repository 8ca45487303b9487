/** A mempool that says what a test wants, watched beside a chain of hand-made blocks. */
import { DEFAULT_EVENT_TYPES } from "../core/event.ts";
import type { Hash } from "../core/hex.ts";
import type { SeenPayment } from "../core/seen-payment.ts";
import { listSeenPayments } from "../deposits/seen-payment-list-store.ts";
import type { Ingested } from "../flow/ingest-block.ts";
import { createMempoolWatcher, type MempoolWatcher } from "../flow/watch-mempool.ts";
import type { MempoolNodes } from "../rpc/mempool/mempool-nodes.ts";
import type { NonceUse } from "../rpc/mempool/nonce-use.ts";
import type { PendingTransaction, Whereabouts } from "../rpc/mempool/pending-transaction.ts";
import { silentLogger } from "../runtime/logger.ts";
import { addressOf, blockOf, blockWith, hashOf, MERCHANT_ID, transferOf } from "./factory.ts";
import { createFakeClock, type FakeClock } from "./fake-clock.ts";
import { createHandmadeChain, type HandmadeChain } from "./handmade-chain.ts";
import { testChain } from "./test-chain.ts";

/** What the nodes say. */
export interface FakeMempool {
  waiting: PendingTransaction[];
  whereabouts: Map<Hash, Whereabouts>;
  nonceUse: NonceUse | null;
  isAway: boolean;
}

export interface WatchedMempool {
  readonly chain: HandmadeChain;
  readonly node: FakeMempool;
  readonly clock: FakeClock;
  /** How often the deliverer was woken. */
  wokenCount(): number;
  /** Another daemon; the same one if it is not named. */
  startWatcher(holder?: string): MempoolWatcher;
  look(): Promise<boolean>;
  seenPayments(): Promise<SeenPayment[]>;
  /** @throws when there is not exactly one */
  onlySeen(): Promise<SeenPayment>;
  /** What was told, in order: `1 seen`, `2 mined`. */
  told(): Promise<string[]>;
  /** The endpoints that are to be told of it. */
  toldTo(): Promise<string[]>;
  /** Lets the nodes forget all that waits, for as long as a drop takes. */
  forget(): Promise<void>;
  /** A block, with the deposit of `paymentOf(tx)` in it if it is named. */
  mine(number: number, tx?: string, branch?: string, parentBranch?: string): Promise<Ingested>;
}

/** Ten blocks. */
export const DROP_AFTER_MS = 10_000;
const HOLDER = "this daemon";
export const payer = addressOf("payer");

/** One endpoint names `deposit.seen`, one what endpoints are told of by default. */
export async function createWatchedMempool(): Promise<WatchedMempool> {
  const chain = await createHandmadeChain({ users: ["alice"] });
  const { database } = chain.test;
  await database.query("UPDATE chains SET lease_holder = $1", [HOLDER]);
  for (const [id, events] of [
    ["end_named", ["deposit.seen"]],
    ["end_default", DEFAULT_EVENT_TYPES],
  ]) {
    await database.query(
      "INSERT INTO endpoints (id, merchant_id, url, events, secret) VALUES ($1, $2, 'http://127.0.0.1', $3, '\\x00')",
      [id, MERCHANT_ID, events],
    );
  }
  const clock = createFakeClock();
  const node: FakeMempool = {
    waiting: [],
    whereabouts: new Map(),
    nonceUse: { isUsed: false, by: null },
    isAway: false,
  };
  let woken = 0;
  const startWatcher = (holder = HOLDER) =>
    createMempoolWatcher({
      database,
      chain: testChain([], { mempool: true, assets: [] }),
      nodes: nodesOf(node),
      ingest: chain.context,
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
  const watcher = startWatcher();
  const look = () => watcher.look(new AbortController().signal);
  const seenPayments = () => listSeenPayments(database, { merchantId: MERCHANT_ID, limit: 1_000 });
  return {
    chain,
    node,
    clock,
    wokenCount: () => woken,
    startWatcher,
    look,
    seenPayments,
    onlySeen: async () => {
      const [seen, ...more] = await seenPayments();
      if (seen === undefined || more.length > 0)
        throw new Error(`There are ${more.length + 1} seen payments`);
      return seen;
    },
    told: async () => {
      const rows = await database.query<{ body: string }>(
        "SELECT body FROM events WHERE type = 'deposit.seen' ORDER BY seen_id, sequence",
      );
      return rows.map(({ body }) => {
        const { data } = JSON.parse(body) as { data: { status: string; sequence: number } };
        return `${data.sequence} ${data.status}`;
      });
    },
    toldTo: async () => {
      const rows = await database.query<{ endpoint_id: string }>(
        `SELECT d.endpoint_id FROM deliveries d JOIN events e ON e.id = d.event_id WHERE e.type = 'deposit.seen'`,
      );
      return rows.map((row) => row.endpoint_id);
    },
    forget: async () => {
      node.waiting = [];
      await look();
      await clock.advance(DROP_AFTER_MS);
      await look();
    },
    mine: (number, tx, branch = "A", parentBranch = branch) => {
      const block = blockOf(number, branch, parentBranch);
      const transfers =
        tx === undefined
          ? []
          : [transferOf({ to: addressOf("alice"), tx, from: payer, amountBaseUnits: 1_000n })];
      return chain.ingest(blockOf(number - 1, parentBranch), blockWith(block, transfers));
    },
  };
}

/** To alice; the same transaction as `transferOf` makes of this name. */
export function paymentOf(tx: string, given: Partial<PendingTransaction> = {}): PendingTransaction {
  return {
    hash: hashOf(`tx ${tx}`),
    from: payer,
    to: addressOf("alice"),
    nonce: 3n,
    valueWei: 1_000n,
    input: "0x",
    ...given,
  };
}

function nodesOf(node: FakeMempool): MempoolNodes {
  return {
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
}
