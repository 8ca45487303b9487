/** A chain in the database whose blocks a test makes by hand, on as many branches as it likes. */
import type { Asset, KnownAsset } from "../core/asset.ts";
import type { BlockHeader, BlockTransfers } from "../core/chain.ts";
import type { Deposit } from "../core/deposit.ts";
import { listDeposits } from "../deposits/deposit-list-store.ts";
import { type IngestContext, type Ingested, ingestBlocks } from "../flow/ingest-block.ts";
import { type Undone, undoReorg } from "../flow/undo-reorg.ts";
import { loadAddressWatch } from "../flow/watch-addresses.ts";
import { listUserBalances } from "../ledger/ledger-store.ts";
import { registerAddress } from "../merchants/address-store.ts";
import { listDepositHistory } from "../outbox/event-store.ts";
import { systemRandom } from "../runtime/random.ts";
import type { CursorClaim } from "../scanner/cursor-store.ts";
import { createTestDatabase, type TestDatabase } from "./database.ts";
import { addressOf, assetOf, blockOf, blockWith, CHAIN_ID, MERCHANT_ID, seedChain, USDT } from "./factory.ts";

export interface HandmadeChain {
  readonly test: TestDatabase;
  readonly assets: readonly KnownAsset[];
  readonly context: IngestContext;
  /** @param after where the cursor is */
  ingest(after: BlockHeader, ...blocks: BlockTransfers[]): Promise<Ingested>;
  /** Empty blocks after one up to a number, so that what stands there gets deeper. Answers the last. */
  deepen(from: BlockHeader, to: number, branch?: string): Promise<BlockHeader>;
  undo(cursor: BlockHeader, ancestor: BlockHeader): Promise<Undone>;
  deposits(): Promise<Deposit[]>;
  /** Of all deposits, sorted. */
  statuses(): Promise<string[]>;
  /** What was told of a deposit, oldest first: `["pending", "orphaned"]`. */
  moves(id: string): Promise<string[]>;
  /** Locked and available, of each asset that the user ever had. */
  balanceOf(userId: string): Promise<bigint[][]>;
}

export interface HandmadeOptions {
  /** Ether from 100 base units on, and USDT, if they are not given. */
  readonly assets?: readonly Asset[];
  /** Each has the address that is always theirs. */
  readonly users?: readonly string[];
  readonly more?: Partial<IngestContext>;
}

/** The cursor is at block 0 of branch `A`; `hot wallet` is the merchant's own. */
export async function createHandmadeChain(options: HandmadeOptions = {}): Promise<HandmadeChain> {
  const test = await createTestDatabase();
  const { database } = test;
  const listed = options.assets ?? [
    assetOf({ minimumBaseUnits: 100n }),
    assetOf({ token: USDT, currency: "USDT", decimals: 6 }),
  ];
  const assets = await seedChain(database, listed);
  for (const userId of options.users ?? ["alice", "bob"])
    await registerAddress(database, { address: addressOf(userId), merchantId: MERCHANT_ID, userId });
  const context: IngestContext = {
    database,
    chainId: CHAIN_ID,
    assets: new Map(assets.map((asset) => [asset.token, asset])),
    nativeSource: "value",
    ownWallets: new Set([addressOf("hot wallet")]),
    reorgWindow: 64,
    watch: await loadAddressWatch(database, systemRandom),
    ...options.more,
  };
  const ingest = (after: BlockHeader, ...blocks: BlockTransfers[]) =>
    ingestBlocks(context, claimAt(after), blocks);
  const deposits = async () =>
    (await listDeposits(database, { merchantId: MERCHANT_ID, limit: 1000 })).map((each) => each.deposit);
  return {
    test,
    assets,
    context,
    ingest,
    deepen: async (from, to, branch = "A") => {
      let last = from;
      for (let number = Number(from.number) + 1; number <= to; number++) {
        const next = blockOf(number, branch, number === Number(from.number) + 1 ? undefined : branch);
        await ingest(last, blockWith(next));
        last = next;
      }
      return last;
    },
    undo: (cursor, ancestor) => undoReorg(database, claimAt(cursor), ancestor),
    deposits,
    statuses: async () => (await deposits()).map((deposit) => deposit.status).sort(),
    moves: async (id) => (await listDepositHistory(database, id)).map((each) => each.type.slice(8)),
    balanceOf: async (userId) =>
      (await listUserBalances(database, MERCHANT_ID, userId)).map((balance) => [
        balance.lockedBaseUnits,
        balance.availableBaseUnits,
      ]),
  };
}

/** Where the next write must find the cursor. */
export function claimAt({ number, hash }: BlockHeader): CursorClaim {
  return { chainId: CHAIN_ID, number, hash, leaseToken: 0n };
}
