/**
 * (e) Ten million watched addresses: what loading and keeping them costs, what a look-up costs, and what they cost
 * the ingest.
 *
 * Loading is measured in a process of its own, so that its memory is nobody else's. The ingest follows the same
 * recorded chain as (a), in turn with a thousand addresses and with ten million.
 */
import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import type { Database } from "../../src/db/database.ts";
import { type AddressWatch, loadAddressWatch } from "../../src/flow/watch-addresses.ts";
import { packAddresses } from "../../src/merchants/address-store.ts";
import { systemRandom } from "../../src/runtime/random.ts";
import { MERCHANT_ID } from "../../src/testing/factory.ts";
import type { Loaded } from "./addresses-process.ts";
import type { BenchDatabase } from "./bench-database.ts";
import type { BenchGroup } from "./bench-parts.ts";
import { followToEnd, seedWatched } from "./catch-up.ts";
import { type Measured, timed } from "./measure.ts";
import { type ChainToRead, readRecordedChain } from "./recorded-chain.ts";

const FEW = 1_000;
const MANY = 10_000_000;
const MANY_QUICK = 200_000;
const MOST_MEGABYTES = 250;
const MOST_SECONDS = 30;
const LEAST_SHARE = 0.9;
const BYTES_PER_ADDRESS = 20;

export const benchAddresses: BenchGroup = async ({ server, isQuick, say }) => {
  const many = isQuick ? MANY_QUICK : MANY;
  const blocks = { transfersPerBlock: 100, watchedPerBlock: 5, blocks: isQuick ? 100 : 1_000 };
  const chain = await readRecordedChain(blocks, say);
  try {
    const withFew = await server.createDatabase("bench_e_few");
    const withMany = await server.createDatabase("bench_e_many");
    for (const [bench, count] of [
      [withFew, FEW],
      [withMany, many],
    ] as const) {
      say(`(e) addresses: registering ${count}`);
      await seedWatched(chain, bench.database);
      await fill(bench.database, count);
    }
    return [
      ...(await measureLoading(withFew, withMany, many, isQuick ? 2 : 5, say)),
      await measureIngest(chain, withFew, withMany, isQuick ? 2 : 7, say),
    ];
  } finally {
    await chain.stop();
  }
};

/** Addresses like those of chains, made where they are kept; in their order, because the index then grows at its end. */
async function fill(database: Database, count: number): Promise<void> {
  await database.transaction(async (tx) => {
    // Ten million look-ups of the same merchant would take longer than all the rest.
    await tx.query("SET LOCAL session_replication_role = replica");
    await tx.query(
      `INSERT INTO watched_addresses (address, merchant_id, user_id)
       SELECT decode(md5(n::text) || substr(md5('and ' || n), 1, 8), 'hex'), $1, 'user ' || n
       FROM generate_series(1, $2::int) AS n ORDER BY 1`,
      [MERCHANT_ID, count],
    );
  });
  await database.query("VACUUM (ANALYZE) watched_addresses");
}

async function measureLoading(
  withFew: BenchDatabase,
  withMany: BenchDatabase,
  count: number,
  rounds: number,
  say: (line: string) => void,
): Promise<Measured[]> {
  const few: Loaded[] = [];
  const many: Loaded[] = [];
  const bareSeconds: number[] = [];
  // The first round warms up and is thrown away.
  for (let round = 0; round <= rounds; round++) {
    say(`(e) addresses: loading ${count}, round ${round} of ${rounds}`);
    const small = await loadInProcess(withFew.url);
    const large = await loadInProcess(withMany.url);
    const bare = (await timed(() => readPages(withMany.database))) / 1000;
    if (round === 0) continue;
    few.push(small);
    many.push(large);
    bareSeconds.push(bare);
  }
  const worst = (of: (loaded: Loaded) => number) => Math.max(...many.map(of));
  say(
    `(e) addresses: ${worst((each) => each.falseHits)} false hits of ${many[0]?.lookups}; ` +
      `the event loop was held up ${worst((each) => each.longestStallMs)} ms at most`,
  );
  const ownMegabytes = (count * BYTES_PER_ADDRESS) / 1e6;
  const shared = { group: "e" };
  return [
    {
      ...shared,
      name: `load ${count} addresses`,
      unit: "s",
      rounds: many.map((each) => each.seconds),
      floorName: "the same pages read from PostgreSQL, nothing else",
      floorRounds: bareSeconds,
      target: (value) => ({ text: `≤ ${MOST_SECONDS} s`, isMet: value <= MOST_SECONDS }),
    },
    {
      ...shared,
      name: "peak memory while loading, above that with 1,000",
      unit: "MB",
      rounds: many.map((each, index) => each.peakMegabytes - (few[index]?.peakMegabytes ?? 0)),
      floorName: "the addresses' own 20 bytes each",
      floorRounds: [ownMegabytes],
      target: (value) => ({ text: `≤ ${MOST_MEGABYTES} MB`, isMet: value <= MOST_MEGABYTES }),
    },
    {
      ...shared,
      name: "look up an address that is not watched",
      unit: "ns",
      rounds: many.map((each) => each.missNs),
      floorName: "the same with 1,000 addresses, in the processor's cache",
      floorRounds: few.map((each) => each.missNs),
    },
  ];
}

const PROGRAM = fileURLToPath(new URL("./addresses-process.ts", import.meta.url));

async function loadInProcess(url: string): Promise<Loaded> {
  const run = promisify(execFile);
  const { stdout } = await run(process.execPath, ["--import", "tsx", PROGRAM, url]);
  return JSON.parse(stdout) as Loaded;
}

async function readPages(database: Database): Promise<void> {
  const upTo = 9_223_372_036_854_775_807n;
  for (let after: bigint | null = 0n; after !== null; )
    after = (await packAddresses(database, { after, upTo, limit: 20_000 })).lastNumber;
}

async function measureIngest(
  chain: ChainToRead,
  withFew: BenchDatabase,
  withMany: BenchDatabase,
  rounds: number,
  say: (line: string) => void,
): Promise<Measured> {
  const blocks = Number(chain.to - chain.from) + 1;
  const fewWatch = await loadAddressWatch(withFew.database, systemRandom);
  const manyWatch = await loadAddressWatch(withMany.database, systemRandom);
  const rate = async ({ database }: BenchDatabase, watch: AddressWatch) => {
    await forgetChain(database);
    return blocks / ((await followToEnd(chain, database, watch, "none")) / 1000);
  };
  const few: number[] = [];
  const many: number[] = [];
  for (let round = 0; round <= rounds; round++) {
    say(`(e) addresses: ingest, round ${round} of ${rounds}`);
    const small = await rate(withFew, fewWatch);
    const large = await rate(withMany, manyWatch);
    if (round === 0) continue;
    few.push(small);
    many.push(large);
  }
  return {
    group: "e",
    name: `catch up ${blocks} blocks with ${manyWatch.table.size} addresses`,
    unit: "blocks/s",
    rounds: many,
    floorName: `the same with ${fewWatch.table.size}`,
    floorRounds: few,
    target: (_value, ratio) => ({ text: `≥ ${LEAST_SHARE} of it`, isMet: ratio >= LEAST_SHARE }),
  };
}

/** As if the chain had never been followed. In this role no trigger keeps deposits from being deleted. */
async function forgetChain(database: Database): Promise<void> {
  await database.transaction(async (tx) => {
    await tx.query("SET LOCAL session_replication_role = replica");
    await tx.query(
      "TRUNCATE deposits, waiting_deposits, events, due_deliveries, deliveries, delivery_attempts, block_refs CASCADE",
    );
  });
  await database.query(
    `UPDATE chains SET cursor_number = NULL, cursor_hash = NULL, cursor_time = NULL, cursor_at = NULL,
       head_number = NULL, safe_number = NULL, finalized_number = NULL, lease_holder = NULL, lease_until = NULL`,
  );
}
