/** A backup is put in the place of a database that has gone on: what was lost is found again, under the same ids. */
import { afterEach, beforeEach, expect, it } from "vitest";
import type { KnownAsset } from "../core/asset.ts";
import type { BlockTransfers } from "../core/chain.ts";
import { type Database, openDatabase } from "../db/database.ts";
import { listDeposits } from "../deposits/deposit-list-store.ts";
import { listUserBalances } from "../ledger/ledger-store.ts";
import { registerAddress } from "../merchants/address-store.ts";
import { silentLogger } from "../runtime/logger.ts";
import { systemRandom } from "../runtime/random.ts";
import { getChainState } from "../scanner/chain-store.ts";
import { createDatabase, createTestDatabase, dropDatabase, type TestDatabase } from "../testing/database.ts";
import {
  addressOf,
  assetOf,
  atDepth,
  blockOf,
  blockWith,
  CHAIN_ID,
  MERCHANT_ID,
  seedChain,
  transferOf,
} from "../testing/factory.ts";
import { ingestBlocks } from "./ingest-block.ts";
import { settleDeposits } from "./settle-deposits.ts";
import { checkBooks } from "./verify-store.ts";
import { loadAddressWatch } from "./watch-addresses.ts";

let today: TestDatabase;
let asset: KnownAsset;
let opened: Database[];

beforeEach(async () => {
  opened = [];
  today = await createTestDatabase();
  const assets = await seedChain(today.database, [
    assetOf({ policy: [{ upToBaseUnits: null, credit: atDepth(2), unlock: atDepth(4) }] }),
  ]);
  asset = assets[0] as KnownAsset;
  await registerAddress(today.database, {
    address: addressOf("alice"),
    merchantId: MERCHANT_ID,
    userId: "alice",
  });
});
afterEach(async () => {
  for (const database of opened) await database.close();
  await today.drop();
});

function open(url: string): Database {
  const database = openDatabase({ url, maxConnections: 4, logger: silentLogger });
  opened.push(database);
  return database;
}

/** The chain goes on to a block, whichever database follows it; one deposit in each block. */
async function follow(database: Database, to: number): Promise<void> {
  const watch = await loadAddressWatch(database, systemRandom);
  const context = {
    database,
    chainId: CHAIN_ID,
    assets: new Map([[null, asset]]),
    nativeSource: "value" as const,
    ownWallets: new Set<never>(),
    reorgWindow: 64,
    watch,
  };
  const from = Number((await getChainState(database, CHAIN_ID)).cursorNumber);
  for (let number = from + 1; number <= to; number++) {
    const parent = blockOf(number - 1);
    const claim = { chainId: CHAIN_ID, number: parent.number, hash: parent.hash, leaseToken: 0n };
    const transfer = transferOf({ to: addressOf("alice"), tx: `${number}`, amountBaseUnits: 7n });
    const block: BlockTransfers = blockWith(blockOf(number), [transfer]);
    await ingestBlocks(context, claim, [block]);
    await settleDeposits(database, CHAIN_ID);
  }
}

async function books(database: Database) {
  const found = await listDeposits(database, { merchantId: MERCHANT_ID, limit: 100 });
  return {
    deposits: found.map(({ deposit }) => [deposit.id, deposit.status, deposit.sequence]).sort(),
    balances: (await listUserBalances(database, MERCHANT_ID, "alice")).map((balance) => [
      balance.lockedBaseUnits,
      balance.availableBaseUnits,
    ]),
    breaches: await checkBooks(database),
  };
}

it("H4: comes to the same ids, statuses and balances from yesterday's backup, each deposit credited once", async () => {
  await follow(today.database, 4);
  // A backup is a copy; PostgreSQL copies a database that nobody is connected to.
  await today.database.close();
  const yesterday = await createDatabase(new URL(today.url).pathname.slice(1));
  try {
    const lost = open(today.url);
    await follow(lost, 9);
    const restored = open(yesterday.url);
    expect((await books(restored)).deposits).toHaveLength(4);
    await follow(restored, 9);

    const after = await books(restored);
    expect(after).toEqual(await books(lost));
    expect(after).toMatchObject({ balances: [[14n, 42n]], breaches: [] });
  } finally {
    for (const database of opened.splice(0)) await database.close();
    await dropDatabase(new URL(yesterday.url).pathname.slice(1));
  }
});
