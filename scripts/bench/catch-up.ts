/**
 * (a) Catching up: blocks a second through the daemon's own follower (lease, fetch, checks, match, commit), from
 * a chain of full blocks.
 *
 * Floor: a bare loop that asks the same node the same questions with undici, as many at once, and parses the
 * answers. Both run in this process, one after the other.
 */
import { Pool } from "undici";
import type { Asset } from "../../src/core/asset.ts";
import type { Database } from "../../src/db/database.ts";
import { registerAssets } from "../../src/deposits/asset-store.ts";
import { createFetchThreads, type FetchThreads } from "../../src/flow/fetch-threads.ts";
import { followChain } from "../../src/flow/follow-chain.ts";
import { type AddressWatch, loadAddressWatch } from "../../src/flow/watch-addresses.ts";
import { createChainNodes } from "../../src/rpc/chain-nodes.ts";
import { systemClock } from "../../src/runtime/clock.ts";
import { DEFAULT_FETCH_THREADS } from "../../src/runtime/config/chain-config.ts";
import type { ChainConfig } from "../../src/runtime/config/config.ts";
import { createLogger, silentLogger } from "../../src/runtime/logger.ts";
import { systemRandom } from "../../src/runtime/random.ts";
import { registerChain } from "../../src/scanner/chain-store.ts";
import { atDepth, MERCHANT_ID } from "../../src/testing/factory.ts";
import type { BenchDatabase, BenchServer } from "./bench-database.ts";
import type { BenchGroup } from "./bench-parts.ts";
import { type Measured, timed } from "./measure.ts";
import { type ChainToRead, readPreparedChain, readRecordedChain } from "./recorded-chain.ts";

const CONCURRENCY = 16;

/** What is proved of each block, and how much of the bare loop's speed is wanted then. */
const LEVELS = [
  { verification: "none", name: "without proofs", shareWanted: 0.8 },
  { verification: "proved", name: "with proofs", shareWanted: 0.5 },
] as const;
type Level = (typeof LEVELS)[number];

export const benchCatchUp: BenchGroup = async ({ server, isQuick, say }) => {
  const blocks = { transfersPerBlock: 100, watchedPerBlock: 5 };
  const recorded = await readRecordedChain({ ...blocks, blocks: isQuick ? 300 : 1_000 }, say);
  const fromRecording: Measured[] = [];
  try {
    for (const each of [mostlyOthers(recorded), recorded]) {
      const from = `a recorded node, ${densityOf(each)}`;
      const rounds = isQuick ? { warmUp: 1, counted: 2 } : { warmUp: 3, counted: 7 };
      fromRecording.push(...(await compare(server, each, from, rounds, say)));
    }
  } finally {
    await recorded.stop();
  }
  const prepared = await readPreparedChain({ ...blocks, blocks: isQuick ? 50 : 200 });
  try {
    const rounds = { warmUp: 1, counted: isQuick ? 1 : 5 };
    const fromAnvil = await compare(server, prepared, "anvil", rounds, say);
    return [...fromRecording, ...fromAnvil];
  } finally {
    await prepared.stop();
  }
};

/** Deposits go to the watched addresses in turn. */
const TURNS = 1_000;
const FEW_WATCHED = 20;

/** The same chain for somebody who watches few of its addresses: most of it is other people's transfers. */
function mostlyOthers(chain: ChainToRead): ChainToRead {
  const total = chain.depositCount;
  const depositCount = Math.floor(total / TURNS) * FEW_WATCHED + Math.min(total % TURNS, FEW_WATCHED);
  return { ...chain, watched: chain.watched.slice(0, FEW_WATCHED), depositCount };
}

function densityOf(chain: ChainToRead): string {
  const perBlock = chain.depositCount / (Number(chain.to - chain.from) + 1);
  return perBlock < 1
    ? `a deposit in ${Math.round(1 / perBlock)}`
    : `${Math.round(perBlock)} deposits in each`;
}

interface Rounds {
  /** Thrown away. Of a thousand blocks each, one of them is a second: what catches up for hours is warmer than that. */
  readonly warmUp: number;
  readonly counted: number;
}

async function compare(
  server: BenchServer,
  chain: ChainToRead,
  from: string,
  { warmUp, counted }: Rounds,
  say: (line: string) => void,
): Promise<Measured[]> {
  const count = Number(chain.to - chain.from) + 1;
  const perSecond = (ms: number) => (count * 1000) / ms;
  const followed = LEVELS.map((): number[] => []);
  const bare: number[] = [];
  // As a daemon has them: begun once for a chain, in the first round that warms up.
  const threads = LEVELS.map(({ verification }) =>
    createFetchThreads({
      chain: chainConfig(chain, verification),
      clock: systemClock,
      logger: createLogger("error"),
    }),
  );
  try {
    for (let round = 1 - warmUp; round <= counted; round++) {
      say(`(a) catching up from ${from}: round ${round} of ${counted}`);
      const floor = perSecond(await timed(() => fetchBare(chain)));
      if (round > 0) bare.push(floor);
      for (const [index, { verification }] of LEVELS.entries()) {
        const name = `bench_a_${from.replace(/\W/g, "_")}_${verification}_${round + warmUp}`;
        const database = await server.createDatabase(name);
        const mine = perSecond(await follow(chain, database, verification, threads[index]));
        if (round > 0) followed[index]?.push(mine);
      }
    }
  } finally {
    await Promise.all(threads.map((each) => each.close()));
  }
  return LEVELS.map(({ name, shareWanted }, index) => ({
    group: "a",
    name: `catch up ${count} blocks of 100 transfers from ${from}, ${name}`,
    unit: "blocks/s",
    rounds: followed[index] ?? [],
    floorName: "the same blocks and receipts fetched with undici and parsed, nothing else",
    floorRounds: bare,
    target: (_value, ratio) => ({ text: `≥ ${shareWanted} of it`, isMet: ratio >= shareWanted }),
  }));
}

async function follow(
  chain: ChainToRead,
  { database }: BenchDatabase,
  verification: Level["verification"],
  threads: FetchThreads | undefined,
): Promise<number> {
  await seedWatched(chain, database);
  const watch = await loadAddressWatch(database, systemRandom);
  return followToEnd(chain, database, watch, verification, threads);
}

/** A merchant, and the addresses that the chain's deposits go to. */
export async function seedWatched(chain: ChainToRead, database: Database): Promise<void> {
  await database.query("INSERT INTO merchants (id, name) VALUES ($1, 'Bench')", [MERCHANT_ID]);
  await database.query(
    `INSERT INTO watched_addresses (address, merchant_id, user_id)
     SELECT decode(substr(a, 3), 'hex'), $1, a FROM unnest($2::text[]) AS t(a)`,
    [MERCHANT_ID, chain.watched],
  );
}

/**
 * Milliseconds from the start of the follower until the cursor is at the head.
 *
 * @throws when it did not find every deposit
 */
export async function followToEnd(
  chain: ChainToRead,
  database: Database,
  watch: AddressWatch,
  verification: Level["verification"],
  threads?: FetchThreads,
): Promise<number> {
  const config = chainConfig(chain, verification);
  await registerChain(database, chain.chainId, "bench");
  const assets = await registerAssets(database, config.assets);
  const nodes = createChainNodes({ chain: config, clock: systemClock, logger: silentLogger });
  const reached = new AbortController();
  const ms = await timed(async () =>
    followChain(
      {
        database,
        chain: config,
        nodes,
        ingest: {
          database,
          chainId: chain.chainId,
          assets: new Map(assets.map((asset) => [asset.token, asset])),
          nativeSource: "value",
          ownWallets: new Set(),
          reorgWindow: config.reorgWindow,
          watch,
        },
        wakers: silentWakers,
        clock: systemClock,
        logger: silentLogger,
        metrics: {
          onReorg: () => undefined,
          onShortfall: () => undefined,
          onFinalityLost: () => undefined,
          onIngested: (_chainId, { last }) => {
            if (last.number === chain.to) reached.abort();
          },
        },
        holder: "bench",
        leaseMs: 15_000,
        threads,
      },
      reached.signal,
    ),
  );
  await nodes.close();
  const [row] = await database.query<{ count: bigint }>("SELECT count(*) AS count FROM deposits");
  if (Number(row?.count) !== chain.depositCount)
    throw new Error(`${row?.count} of ${chain.depositCount} deposits were found`);
  return ms;
}

const silentWakers = {
  settleAt: async () => undefined,
  settleNow: async () => undefined,
  deliver: async () => undefined,
  deliverAt: async () => undefined,
};

export function chainConfig(chain: ChainToRead, verification: Level["verification"]): ChainConfig {
  const policy = [{ upToBaseUnits: null, credit: atDepth(12), unlock: atDepth(64) }];
  const asset = (token: Asset["token"], currency: string, decimals: number): Asset => ({
    chainId: chain.chainId,
    token,
    currency,
    decimals,
    minimumBaseUnits: 1n,
    amountFrom: "event",
    policy,
  });
  return {
    id: chain.chainId,
    name: "bench",
    nodes: [{ url: chain.url, wsUrl: null, maxConcurrency: null }],
    startBlock: chain.from,
    blockTimeMs: 1_000,
    pollIntervalMs: 100,
    reorgWindow: 256,
    fetchConcurrency: CONCURRENCY,
    fetchThreads: DEFAULT_FETCH_THREADS,
    backfill: "blocks",
    mempool: false,
    internal: "none",
    nativeSource: "value",
    verification,
    witnesses: 1,
    ownWallets: [],
    assets: [asset(null, "ETH", 18), asset(chain.token, "USDT", 6)],
  };
}

async function fetchBare(chain: ChainToRead): Promise<void> {
  const pool = new Pool(chain.url, { connections: CONCURRENCY * 3 + 2 });
  const ask = async (method: string, params: readonly unknown[]) => {
    const { body } = await pool.request({
      path: "/",
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ jsonrpc: "2.0", id: 1, method, params }),
    });
    return (JSON.parse(await body.text()) as { result: { hash: string } }).result;
  };
  let next = chain.from;
  const worker = async () => {
    while (next <= chain.to) {
      const number = next;
      next += 1n;
      const block = await ask("eth_getBlockByNumber", [`0x${number.toString(16)}`, true]);
      await ask("eth_getBlockReceipts", [block.hash]);
    }
  };
  await Promise.all(Array.from({ length: CONCURRENCY }, worker));
  await pool.close();
}
