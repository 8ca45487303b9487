/**
 * (f) Twenty chains at their heads, a block of 100 transfers a second each, in one daemon: what of a core it takes.
 * Five of each hundred are deposits, which are credited at depth 12. The nodes are one process that knows the blocks by
 * heart.
 *
 * Floor: the same requests over the same time without anything done with the answers: a look at the head twice a
 * second, and each new block with its receipts.
 */
import { Pool } from "undici";
import { systemClock } from "../../src/runtime/clock.ts";
import { createDaemon, type Daemon } from "../../src/testing/daemon.ts";
import { chainOf, type DaemonChain } from "../../src/testing/daemon-config.ts";
import { waitFor } from "../../src/testing/wait-for.ts";
import type { BenchDatabase } from "./bench-database.ts";
import type { BenchGroup } from "./bench-parts.ts";
import { seedWatched } from "./catch-up.ts";
import { type MovingChains, readMovingChains } from "./recorded-chain.ts";

const CHAINS = 20;
const FIRST_CHAIN_ID = 41_000;
const POLL_MS = 500;

export const benchChainsAtHeads: BenchGroup = async ({ server, isQuick, say }) => {
  const rounds = isQuick ? 1 : 3;
  const seconds = isQuick ? 10 : 20;
  const bench = await server.createDatabase("bench_chains_at_heads");
  const blocks = { blocks: isQuick ? 300 : 1_000, transfersPerBlock: 100, watchedPerBlock: 5 };
  const chains = await readMovingChains(blocks, CHAINS, say);
  await seedWatched(chains, bench.database);
  const daemon = await createDaemon({
    databaseUrl: bench.url,
    redisUrl: null,
    chains: chains.urls.map((url, index) => chainAt(url, FIRST_CHAIN_ID + index, chains)),
    more: { logLevel: "info", sweepInterval: "5s", lease: "15s" },
  });
  try {
    await daemon.start();
    await untilAllAreFollowed(bench);
    say(`(f) ${CHAINS} chains at their heads: ${rounds} times ${seconds} s`);
    const shares: number[] = [];
    const floors: number[] = [];
    for (let round = 0; round < rounds; round++) {
      const blocksBefore = await sumOf(daemon, "depositd_blocks_ingested_total");
      shares.push(await shareOfACore(() => sumOf(daemon, "process_cpu_seconds_total"), seconds));
      const blocks = (await sumOf(daemon, "depositd_blocks_ingested_total")) - blocksBefore;
      // A daemon that lags behind would look idle.
      if (blocks < 0.9 * CHAINS * seconds)
        throw new Error(`Only ${blocks} blocks were ingested in ${seconds} s`);
      say(`(f) ${blocks} blocks in ${seconds} s, ${await countCredited(bench)} deposits credited so far`);
      floors.push(await bareShare(chains.urls, seconds));
    }
    return [
      {
        group: "f",
        name: `${CHAINS} chains at their heads, a block of 100 transfers a second each`,
        unit: "cores",
        rounds: shares,
        floorName: "the same requests, nothing done with the answers",
        floorRounds: floors,
        target: (value) => ({ text: "under 0.5 of a core", isMet: value < 0.5 }),
      },
    ];
  } finally {
    await daemon.dispose();
    await chains.stop();
  }
};

function chainAt(url: string, chainId: number, { token }: MovingChains): DaemonChain {
  const assets = { tokens: [{ currency: "USDT", address: token, decimals: 6, minimum: "0.000001" }] };
  return chainOf(
    { chainId, url },
    { nativeMinimum: "0.000000000000000001", ...assets },
    {
      startBlock: "latest",
      blockTime: "1s",
      pollInterval: `${POLL_MS}ms`,
      confirmations: { credit: 12, unlock: 64 },
    },
  );
}

async function untilAllAreFollowed({ database }: BenchDatabase): Promise<void> {
  const isFollowed = async () => {
    const [row] = await database.query<{ count: bigint }>(
      "SELECT count(*) AS count FROM chains WHERE head_number - cursor_number <= 1",
    );
    return Number(row?.count) === CHAINS;
  };
  await waitFor(isFollowed, { timeoutMs: 120_000, what: "all chains to be at their heads" });
  await systemClock.sleep(10_000); // the compiler has seen the code by then
}

/** @throws when some chain has none: then it was not what it costs */
async function countCredited({ database }: BenchDatabase): Promise<bigint> {
  const [row] = await database.query<{ chains: bigint; deposits: bigint }>(
    `SELECT count(DISTINCT chain_id) AS chains, count(*) AS deposits
       FROM deposits WHERE status IN ('credited', 'unlocked')`,
  );
  if (row === undefined || Number(row.chains) < CHAINS)
    throw new Error(`Deposits were credited on ${row?.chains} of ${CHAINS} chains`);
  return row.deposits;
}

async function shareOfACore(cpuSeconds: () => Promise<number>, seconds: number): Promise<number> {
  const [before, startedAt] = [await cpuSeconds(), performance.now()];
  await systemClock.sleep(seconds * 1_000);
  const [after, endedAt] = [await cpuSeconds(), performance.now()];
  return (after - before) / ((endedAt - startedAt) / 1_000);
}

/** A metric of the daemon, summed over its labels. */
async function sumOf(daemon: Daemon, name: string): Promise<number> {
  const page = await (await fetch(`${await daemon.url()}/metrics`)).text();
  const samples = page
    .split("\n")
    .filter((line) => line.startsWith(`${name} `) || line.startsWith(`${name}{`));
  if (samples.length === 0) throw new Error(`/metrics has no ${name}`);
  return samples.reduce((sum, line) => sum + Number(line.split(" ").at(-1)), 0);
}

async function bareShare(urls: readonly string[], seconds: number): Promise<number> {
  const stop = new AbortController();
  const polling = urls.map((url) => pollBare(url, stop.signal));
  const share = await shareOfACore(async () => {
    const { user, system } = process.cpuUsage();
    return (user + system) / 1e6;
  }, seconds);
  stop.abort();
  await Promise.all(polling);
  return share;
}

async function pollBare(url: string, signal: AbortSignal): Promise<void> {
  const pool = new Pool(url, { connections: 2 });
  const ask = async (method: string, params: readonly unknown[]) => {
    const { body } = await pool.request({
      path: "/",
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ jsonrpc: "2.0", id: 1, method, params }),
    });
    return ((await body.json()) as { result: { hash: string } }).result;
  };
  let last = "";
  while (!signal.aborted) {
    const { hash } = await ask("eth_getBlockByNumber", ["latest", false]);
    if (hash !== last) {
      await Promise.all([ask("eth_getBlockByHash", [hash, true]), ask("eth_getBlockReceipts", [hash])]);
    }
    last = hash;
    await systemClock.sleep(POLL_MS);
  }
  await pool.close();
}
