/**
 * (b) Latency at the head, of the daemon as a process of its own: from the moment at which the node speaks of a block
 * until the deposit's row is committed, and from the block that makes it deep enough until the merchant has the
 * callback.
 *
 * Floor: the sum of what cannot be left out, each measured in the same run: one RPC round trip (a block by hash), one
 * commit of one row, and for the callback one HTTP POST.
 */
import { Pool } from "undici";
import type { Hash } from "../../src/core/hex.ts";
import type { Sql } from "../../src/db/database.ts";
import { type Anvil, startAnvil } from "../../src/testing/anvil.ts";
import { createDaemon, type Daemon } from "../../src/testing/daemon.ts";
import { chainOf } from "../../src/testing/daemon-config.ts";
import { addressOf } from "../../src/testing/factory.ts";
import { waitFor } from "../../src/testing/wait-for.ts";
import type { BenchDatabase } from "./bench-database.ts";
import type { BenchGroup } from "./bench-parts.ts";
import { watchHeads } from "./heads.ts";
import { type Measured, percentile, timed } from "./measure.ts";
import { type BenchSink, type KeptCallback, startBenchSink } from "./sink.ts";

const DEPTH = 3;
const DEPOSITS_PER_BLOCK = 5;
/** The first blocks warm up and are thrown away. */
const WARM_UP_BLOCKS = 30;

export const benchLatency: BenchGroup = async ({ server, isQuick, say }) => {
  const blocks = isQuick ? 60 : 330;
  const bench = await server.createDatabase("bench_latency");
  const [anvil, sink] = await Promise.all([startAnvil({ mining: "manual" }), startBenchSink()]);
  const daemon = await createDaemon({
    databaseUrl: bench.url,
    redisUrl: null,
    chains: [chainOf(anvil, {}, { confirmations: { credit: DEPTH, unlock: 1_000_000 }, blockTime: "200ms" })],
    more: { logLevel: "info", sweepInterval: "5s", lease: "15s" },
  });
  try {
    await daemon.start();
    const watched = await seed(daemon, sink);
    const heads = await watchHeads(anvil.wsUrl);
    say(`(b) latency: ${blocks} blocks with ${DEPOSITS_PER_BLOCK} deposits each`);
    const floors = await mineBlocks({ anvil, bench, sink, watched, blocks });
    const seenAt = heads.seenAt();
    heads.close();
    const callbacks = await untilTold(sink, blocks);
    return [
      ...figures("head → committed deposit row", await rowLatencies(bench.database, seenAt), floors.toRow),
      ...figures(
        "Nth confirmation → callback received",
        callbackLatencies(callbacks, seenAt),
        floors.toCallback,
      ),
    ];
  } finally {
    await daemon.dispose();
    await Promise.all([anvil.stop(), sink.stop()]);
  }
};

interface Floors {
  /** RPC round trip + commit, of each block. */
  readonly toRow: number[];
  /** RPC round trip + commit + POST, of each block. */
  readonly toCallback: number[];
}

async function seed(daemon: Daemon, sink: BenchSink) {
  const { apiKey } = await daemon.createMerchant("Bench");
  daemon.useKey(apiKey);
  await daemon.api.createEndpoint(`${sink.url}/kept`, ["deposit.credited"]);
  const watched = Array.from({ length: DEPOSITS_PER_BLOCK }, (_, index) => addressOf(`latency ${index}`));
  for (const address of watched) await daemon.api.registerAddress(address, address);
  return watched;
}

/** Mines block after block, each when the one before has come to rest, and measures the floors in between. */
async function mineBlocks(parts: {
  anvil: Anvil;
  bench: BenchDatabase;
  sink: BenchSink;
  watched: readonly `0x${string}`[];
  blocks: number;
}): Promise<Floors> {
  const { anvil, bench, sink } = parts;
  const floors: Floors = { toRow: [], toCallback: [] };
  const { database } = bench;
  await database.query("CREATE TABLE floor_commit (at timestamptz)");
  const node = new Pool(anvil.url, { connections: 1 });
  const merchant = new Pool(sink.url, { connections: 1 });
  for (let block = 0; block < parts.blocks; block++) {
    for (const to of parts.watched) await anvil.sendEth(to, 10n ** 16n);
    const head = await anvil.mine();
    await untilIngestedAndQuiet(database, head.number);
    const rpc = await timed(() => post(node, blockByHash(head.hash)));
    const commit = await timed(() => database.query("INSERT INTO floor_commit VALUES (now())"));
    const callback = await timed(() => post(merchant, "x".repeat(900)));
    if (block < WARM_UP_BLOCKS) continue;
    floors.toRow.push(rpc + commit);
    floors.toCallback.push(rpc + commit + callback);
  }
  await Promise.all([node.close(), merchant.close()]);
  return floors;
}

function blockByHash(hash: Hash): string {
  return JSON.stringify({ jsonrpc: "2.0", id: 1, method: "eth_getBlockByHash", params: [hash, true] });
}

async function post(pool: Pool, body: string): Promise<void> {
  const response = await pool.request({
    path: "/",
    method: "POST",
    headers: { "content-type": "application/json" },
    body,
  });
  await response.body.text();
}

/** So that no block's work is counted to another's. */
async function untilIngestedAndQuiet(sql: Sql, number: bigint): Promise<void> {
  await waitFor(
    async () => {
      const [row] = await sql.query<{ quiet: boolean }>(
        `SELECT cursor_number = $1 AND NOT EXISTS (SELECT FROM deposits WHERE status = 'pending' AND credit_block <= $1)
           AND NOT EXISTS (SELECT FROM due_deliveries) AS quiet FROM chains`,
        [number],
      );
      return row?.quiet;
    },
    { timeoutMs: 30_000, intervalMs: 20, what: `block ${number} to be done with` },
  );
}

async function untilTold(sink: BenchSink, blocks: number): Promise<KeptCallback[]> {
  const told: KeptCallback[] = [];
  await waitFor(
    async () => {
      told.push(...(await sink.takeKept()));
      return told.length >= (blocks - DEPTH + 1) * DEPOSITS_PER_BLOCK;
    },
    { timeoutMs: 30_000, intervalMs: 100, what: "all callbacks" },
  );
  return told;
}

/** By the server's own record of when each transaction was committed. */
async function rowLatencies(sql: Sql, seenAt: ReadonlyMap<number, number>): Promise<number[]> {
  const rows = await sql.query<{ block: number; at_ms: number }>(
    `SELECT DISTINCT block_number::integer AS block,
       (extract(epoch FROM pg_xact_commit_timestamp(xid::xid)) * 1000)::double precision AS at_ms
     FROM events WHERE type = 'deposit.pending' ORDER BY block`,
  );
  return rows.slice(WARM_UP_BLOCKS).flatMap(({ block, at_ms }) => since(seenAt.get(block), at_ms));
}

function callbackLatencies(
  callbacks: readonly KeptCallback[],
  seenAt: ReadonlyMap<number, number>,
): number[] {
  const lowest = Math.min(...callbacks.map(({ blockNumber }) => blockNumber));
  return callbacks
    .filter(({ blockNumber }) => blockNumber >= lowest + WARM_UP_BLOCKS)
    .flatMap(({ blockNumber, atMs }) => since(seenAt.get(blockNumber + DEPTH - 1), atMs));
}

function since(from: number | undefined, to: number): number[] {
  return from === undefined ? [] : [to - from];
}

/** In thirds of the run, so that the spread shows. */
function figures(name: string, values: readonly number[], floors: readonly number[]): Measured[] {
  return [0.5, 0.99].map((share) => ({
    group: "b",
    name: `${name}, p${share * 100}`,
    unit: "ms",
    rounds: thirds(values).map((part) => percentile(part, share)),
    floorName: "one RPC round trip, one commit and, for the callback, one POST, added up block by block",
    floorRounds: thirds(floors).map((part) => percentile(part, share)),
  }));
}

function thirds(values: readonly number[]): number[][] {
  const size = Math.ceil(values.length / 3);
  return [0, 1, 2].map((part) => values.slice(part * size, (part + 1) * size));
}
