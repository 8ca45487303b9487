/**
 * (d) Callbacks a second, from the nudge after a commit to outcomes that are recorded: claimed, signed, sent to a merchant
 * on this machine, written. By the daemon as its users run it, once with its queue on PostgreSQL, once on Redis.
 *
 * Floor: the same bodies posted with bare undici to the same merchant, as many at once: no claim, no signature, no
 * record.
 */
import { Pool } from "undici";
import { createWakers } from "../../src/flow/wake-workers.ts";
import { systemClock } from "../../src/runtime/clock.ts";
import { silentLogger } from "../../src/runtime/logger.ts";
import { createQueue } from "../../src/runtime/queue/queue.ts";
import { systemRandom } from "../../src/runtime/random.ts";
import { createSecretBox } from "../../src/runtime/secret-box.ts";
import { createDaemon, DAEMON_SECRET_KEY } from "../../src/testing/daemon.ts";
import { MERCHANT_ID } from "../../src/testing/factory.ts";
import { findMissingRedis, startTestRedis } from "../../src/testing/redis.ts";
import { waitFor } from "../../src/testing/wait-for.ts";
import type { BenchDatabase, BenchServer } from "./bench-database.ts";
import type { BenchGroup } from "./bench-parts.ts";
import { type Measured, timed } from "./measure.ts";
import { type BenchSink, startBenchSink } from "./sink.ts";

/** As in the default config. */
const CONCURRENCY = 64;
const ENDPOINTS = 10;

export const benchCallbacks: BenchGroup = async ({ server, isQuick, say }) => {
  const amount = { count: isQuick ? 1_000 : 10_000, rounds: isQuick ? 2 : 7 };
  const onPostgres = await measureOn({ server, queueName: "PostgreSQL", redisUrl: null, say, ...amount });
  if (findMissingRedis() !== null) return [onPostgres];
  const redis = await startTestRedis();
  try {
    const onRedis = await measureOn({ server, queueName: "Redis", redisUrl: redis.url, say, ...amount });
    return [onPostgres, onRedis];
  } finally {
    await redis.stop();
  }
};

interface Task {
  readonly server: BenchServer;
  readonly queueName: "PostgreSQL" | "Redis";
  readonly redisUrl: string | null;
  readonly count: number;
  readonly rounds: number;
  readonly say: (line: string) => void;
}

async function measureOn({ server, queueName, redisUrl, count, rounds, say }: Task): Promise<Measured> {
  const bench = await server.createDatabase(`bench_callbacks_${queueName.toLowerCase()}`);
  const sink = await startBenchSink();
  const daemon = await createDaemon({
    databaseUrl: bench.url,
    redisUrl,
    // It delivers only: the chain's node is never asked.
    chains: [
      {
        id: 1,
        nodes: [{ url: "http://127.0.0.1:1" }],
        startBlock: 0,
        confirmations: { credit: 3, unlock: 5 },
      },
    ],
    // Without a line for each attempt: this process would have to read them, on the same cores.
    more: { logLevel: "warn", sweepInterval: "10s" },
  });
  const queue = createQueue({
    config: { url: redisUrl },
    databaseUrl: bench.url,
    logger: silentLogger,
    clock: systemClock,
  });
  const wakers = createWakers({ queue, clock: systemClock, random: systemRandom });
  const delivered: number[] = [];
  const bare: number[] = [];
  try {
    await insertEndpoints(bench, `${sink.url}/callbacks`);
    await daemon.launch({}, ["--roles", "deliver"]);
    // The first round warms up and is thrown away.
    for (let round = 0; round <= rounds; round++) {
      say(`(d) callbacks, the queue on ${queueName}: round ${round} of ${rounds}`);
      const bodies = await makeDue(bench, count, round);
      const ms = await timed(async () => {
        await wakers.deliver();
        await untilDelivered(bench);
      });
      const floorMs = await timed(() => postAll(sink, bodies));
      if (round === 0) continue;
      delivered.push((count * 1000) / ms);
      bare.push((count * 1000) / floorMs);
    }
  } finally {
    await queue.close(1_000);
    await daemon.dispose();
    await sink.stop();
  }
  return {
    group: "d",
    name: `deliver ${count} callbacks to ${ENDPOINTS} endpoints, the queue on ${queueName}`,
    unit: "callbacks/s",
    rounds: delivered,
    floorName: `the same bodies posted with bare undici, ${CONCURRENCY} at once`,
    floorRounds: bare,
    target: (_value, ratio) => ({ text: "0.5 of it", isMet: ratio >= 0.5 }),
  };
}

async function insertEndpoints({ database }: BenchDatabase, url: string): Promise<void> {
  const secretBox = createSecretBox(Buffer.from(DAEMON_SECRET_KEY, "hex"), systemRandom);
  await database.query("INSERT INTO merchants (id, name) VALUES ($1, 'Bench')", [MERCHANT_ID]);
  await database.query(
    `INSERT INTO endpoints (id, merchant_id, url, events, secret)
     SELECT 'end_' || n, $1, $2, '{endpoint.test}', $3 FROM generate_series(1, ${ENDPOINTS}) AS n`,
    [MERCHANT_ID, url, secretBox.seal(Buffer.alloc(32, 9))],
  );
}

/** Events with bodies of a deposit's size, and a due delivery of each, to the endpoints in turn. */
async function makeDue({ database }: BenchDatabase, count: number, round: number): Promise<string[]> {
  const bodies = Array.from({ length: count }, (_, index) =>
    JSON.stringify({
      type: "endpoint.test",
      timestamp: new Date().toISOString(),
      data: { round, index, padding: "x".repeat(830) },
    }),
  );
  await database.query(
    `WITH written AS (
       INSERT INTO events (merchant_id, type, body) SELECT $1, 'endpoint.test', b FROM unnest($2::text[]) AS t(b)
       RETURNING id
     )
     INSERT INTO deliveries (event_id, endpoint_id)
     SELECT id, 'end_' || 1 + row_number() OVER () % ${ENDPOINTS} FROM written`,
    [MERCHANT_ID, bodies],
  );
  return bodies;
}

async function untilDelivered({ database }: BenchDatabase): Promise<void> {
  await waitFor(
    async () => {
      const [row] = await database.query<{ due: boolean }>(
        "SELECT EXISTS (SELECT FROM due_deliveries) AS due",
      );
      return row?.due === false;
    },
    { timeoutMs: 120_000, intervalMs: 20, what: "all to be delivered" },
  );
  const [row] = await database.query<{ failed: boolean }>(
    "SELECT EXISTS (SELECT FROM deliveries WHERE state <> 'delivered') AS failed",
  );
  if (row?.failed !== false) throw new Error("Some callbacks were not delivered");
}

async function postAll(sink: BenchSink, bodies: readonly string[]): Promise<void> {
  const pool = new Pool(sink.url, { connections: CONCURRENCY });
  const waiting = bodies.values();
  const worker = async () => {
    for (const body of waiting) {
      const response = await pool.request({
        path: "/callbacks",
        method: "POST",
        headers: { "content-type": "application/json" },
        body,
      });
      await response.body.dump();
    }
  };
  await Promise.all(Array.from({ length: CONCURRENCY }, worker));
  await pool.close();
}
