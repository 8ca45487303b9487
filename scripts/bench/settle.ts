/**
 * (c) Settling: how many deposits a second are credited when 10,000 deposits of 10,000 users stand in one block,
 * with their ledger entries, events and deliveries.
 *
 * Floor: as many rows of the same bytes, in as many statements and commits, inserted into tables that have
 * nothing but a primary key. It is what writing the facts costs this machine when nothing is looked up, locked
 * or checked. (A commit per deposit would be a floor that any batching beats; this one cannot be beaten without
 * writing less.)
 */

import { loadFastKeccak } from "../../src/core/keccak.ts";
import { UNVERIFIED } from "../../src/core/verification.ts";
import { registerAssets } from "../../src/deposits/asset-store.ts";
import { type IngestContext, ingestBlocks } from "../../src/flow/ingest-block.ts";
import { settleDeposits } from "../../src/flow/settle-deposits.ts";
import { loadAddressWatch } from "../../src/flow/watch-addresses.ts";
import { systemRandom } from "../../src/runtime/random.ts";
import { registerChain, startCursor } from "../../src/scanner/chain-store.ts";
import {
  addressOf,
  assetOf,
  atDepth,
  blockOf,
  CHAIN_ID,
  MERCHANT_ID,
  transferOf,
} from "../../src/testing/factory.ts";
import type { BenchDatabase } from "./bench-database.ts";
import type { BenchGroup } from "./bench-parts.ts";
import { type Measured, timed } from "./measure.ts";
import { createFloorTables, insertFloorRows } from "./settle-floor.ts";

const CREDITS_PER_SECOND_WANTED = 10_000;

export const benchSettle: BenchGroup = async ({ server, isQuick, say }) => {
  // As the daemon does at its start: bodies show checksummed addresses.
  await loadFastKeccak();
  const count = isQuick ? 2_000 : 10_000;
  const rounds = isQuick ? 2 : 7;
  const bench = await server.createDatabase("bench_settle");
  await seed(bench);
  await createFloorTables(bench.database);
  const chain = createRounds(bench, count);

  const fresh: number[] = [];
  const again: number[] = [];
  const floor: number[] = [];
  // The first round of each kind warms up and is thrown away.
  for (let round = 0; round <= rounds; round++) {
    say(`(c) settle: round ${round} of ${rounds}`);
    const first = await chain.run(`round ${round}`);
    const second = await chain.run(`round ${round}`);
    const bare = count / ((await timed(() => insertFloorRows(bench.database, count))) / 1000);
    if (round === 0) continue;
    fresh.push(first);
    again.push(second);
    floor.push(bare);
  }
  const shared = {
    group: "c",
    unit: "deposits/s",
    floorName: "bare inserts of as many rows in as many statements",
    floorRounds: floor,
  };
  return [
    {
      ...shared,
      name: `settle ${count} deposits of as many users`,
      rounds: again,
      target: (value: number) => ({
        text: `≥ ${CREDITS_PER_SECOND_WANTED}/s`,
        isMet: value >= CREDITS_PER_SECOND_WANTED,
      }),
    },
    { ...shared, name: "the same, each user's first credit", rounds: fresh },
  ] satisfies Measured[];
};

async function seed({ database }: BenchDatabase): Promise<void> {
  await database.query("INSERT INTO merchants (id, name) VALUES ($1, 'Bench')", [MERCHANT_ID]);
  await database.query(
    `INSERT INTO endpoints (id, merchant_id, url, events, secret)
     VALUES ('end_bench', $1, 'http://127.0.0.1:9/', '{deposit.credited}', '\\x00')`,
    [MERCHANT_ID],
  );
  await registerChain(database, CHAIN_ID, "local");
  await startCursor(database, CHAIN_ID, 0n, [blockOf(0)]);
}

/** Each round: ingest a block in which every user of a group gets one deposit, then settle. */
function createRounds({ database }: BenchDatabase, count: number) {
  let height = 0;
  let context: IngestContext | undefined;
  const registered = new Set<string>();

  const open = async (): Promise<IngestContext> => {
    const assets = await registerAssets(database, [
      assetOf({ policy: [{ upToBaseUnits: null, credit: atDepth(1), unlock: atDepth(1_000_000) }] }),
    ]);
    return {
      database,
      chainId: CHAIN_ID,
      assets: new Map(assets.map((asset) => [asset.token, asset])),
      nativeSource: "value",
      ownWallets: new Set(),
      reorgWindow: 64,
      watch: await loadAddressWatch(database, systemRandom),
    };
  };

  const run = async (users: string): Promise<number> => {
    const addresses = Array.from({ length: count }, (_, index) => addressOf(`${users} user ${index}`));
    if (!registered.has(users)) {
      registered.add(users);
      await database.query(
        `INSERT INTO watched_addresses (address, merchant_id, user_id)
         SELECT decode(substr(a, 3), 'hex'), $1, a FROM unnest($2::text[]) AS t(a)`,
        [MERCHANT_ID, addresses],
      );
    }
    context ??= await open();
    const parent = blockOf(height);
    height += 1;
    const transfers = addresses.map((to, index) =>
      transferOf({ to, tx: `block ${height} ${index}`, amountBaseUnits: BigInt(1_000_000 + index) }),
    );
    const from = { chainId: CHAIN_ID, number: parent.number, hash: parent.hash, leaseToken: 0n };
    const block = blockOf(height);
    await ingestBlocks(context, from, [{ block, verification: UNVERIFIED, transfers }]);

    let credited = 0;
    const ms = await timed(async () => {
      credited = (await settleDeposits(database, CHAIN_ID)).credited;
    });
    if (credited !== count) throw new Error(`${credited} of ${count} deposits were credited`);
    return count / (ms / 1000);
  };
  return { run };
}
