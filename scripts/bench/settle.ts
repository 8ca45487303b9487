/**
 * (c) Settling: how many deposits a second are credited when 10,000 deposits of 10,000 users stand in one block,
 * with their ledger entries, events and deliveries; and the same beside a million deposits settled long ago, in turn
 * with the first.
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
import { registerChain } from "../../src/scanner/chain-store.ts";
import { startCursor } from "../../src/scanner/cursor-store.ts";
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
import { insertHistory } from "./settle-history.ts";

const CREDITS_PER_SECOND_WANTED = 10_000;
/** Of the speed without a past: less than that would be growth and not chance. */
const LEAST_SHARE_BESIDE_PAST = 0.85;
/** The chain's cursor at first, above all past deposits. */
const START = 1_000_000;

export const benchSettle: BenchGroup = async ({ server, isQuick, say }) => {
  // As the daemon does at its start: bodies show checksummed addresses.
  await loadFastKeccak();
  const count = isQuick ? 2_000 : 10_000;
  const rounds = isQuick ? 2 : 7;
  const past = isQuick ? 20_000 : 1_000_000;
  const bench = await server.createDatabase("bench_settle");
  const aged = await server.createDatabase("bench_settle_beside_past");
  await seed(bench);
  await createFloorTables(bench.database);
  await insertHistory(aged.database, await seed(aged), past, say);
  const chain = createRounds(bench, count);
  const agedChain = createRounds(aged, count);

  const figures = {
    fresh: [] as number[],
    again: [] as number[],
    aged: [] as number[],
    floor: [] as number[],
  };
  // The first round of each kind warms up and is thrown away.
  for (let round = 0; round <= rounds; round++) {
    say(`(c) settle: round ${round} of ${rounds}`);
    const fresh = await chain.run(`round ${round}`);
    const again = await chain.run(`round ${round}`);
    await agedChain.run(`round ${round}`);
    const besidePast = await agedChain.run(`round ${round}`);
    const floor = count / ((await timed(() => insertFloorRows(bench.database, count))) / 1000);
    if (round === 0) continue;
    figures.fresh.push(fresh);
    figures.again.push(again);
    figures.aged.push(besidePast);
    figures.floor.push(floor);
  }
  const shared = {
    group: "c",
    unit: "deposits/s",
    floorName: "bare inserts of as many rows in as many statements",
    floorRounds: figures.floor,
  };
  return [
    {
      ...shared,
      name: `settle ${count} deposits of as many users`,
      rounds: figures.again,
      target: (value: number) => ({
        text: `≥ ${CREDITS_PER_SECOND_WANTED}/s`,
        isMet: value >= CREDITS_PER_SECOND_WANTED,
      }),
    },
    { ...shared, name: "the same, each user's first credit", rounds: figures.fresh },
    {
      ...shared,
      name: `the same beside ${past} settled deposits`,
      rounds: figures.aged,
      floorName: "the same without them, in turn",
      floorRounds: figures.again,
      target: (_value: number, ratio: number) => ({
        text: `≥ ${LEAST_SHARE_BESIDE_PAST} of it`,
        isMet: ratio >= LEAST_SHARE_BESIDE_PAST,
      }),
    },
  ] satisfies Measured[];
};

/** Answers the asset's id. */
async function seed({ database }: BenchDatabase): Promise<number> {
  await database.query("INSERT INTO merchants (id, name) VALUES ($1, 'Bench')", [MERCHANT_ID]);
  await database.query(
    `INSERT INTO endpoints (id, merchant_id, url, events, secret)
     VALUES ('end_bench', $1, 'http://127.0.0.1:9/', '{deposit.credited}', '\\x00')`,
    [MERCHANT_ID],
  );
  await registerChain(database, CHAIN_ID, "local");
  await startCursor(database, CHAIN_ID, 0n, [blockOf(START)]);
  const [asset] = await registerAssets(database, [ASSET]);
  if (asset === undefined) throw new Error("The asset was not registered");
  return asset.id;
}

const ASSET = assetOf({ policy: [{ upToBaseUnits: null, credit: atDepth(1), unlock: atDepth(1_000_000) }] });

/** Each round: ingest a block in which every user of a group gets one deposit, then settle. */
function createRounds({ database }: BenchDatabase, count: number) {
  let height = START;
  let context: IngestContext | undefined;
  const registered = new Set<string>();

  const open = async (): Promise<IngestContext> => {
    const assets = await registerAssets(database, [ASSET]);
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
