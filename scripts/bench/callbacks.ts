/**
 * (d) Callbacks a second, from rows that are due to outcomes that are recorded: claimed, signed, sent to a merchant
 * on this machine, written.
 *
 * Floor: the same bodies posted with bare undici to the same merchant, as many at once: no claim, no signature, no
 * record.
 */
import { Pool } from "undici";
import { createDeliverer } from "../../src/flow/deliver-callbacks.ts";
import { systemClock } from "../../src/runtime/clock.ts";
import { silentLogger } from "../../src/runtime/logger.ts";
import { systemRandom } from "../../src/runtime/random.ts";
import { createSecretBox } from "../../src/runtime/secret-box.ts";
import { MERCHANT_ID } from "../../src/testing/factory.ts";
import type { BenchDatabase } from "./bench-database.ts";
import type { BenchGroup } from "./bench-parts.ts";
import { type Measured, timed } from "./measure.ts";
import { type BenchSink, startBenchSink } from "./sink.ts";

/** As in the default config. */
const CONCURRENCY = 64;
const ENDPOINTS = 10;

export const benchCallbacks: BenchGroup = async ({ server, isQuick, say }) => {
  const count = isQuick ? 1_000 : 10_000;
  const rounds = isQuick ? 2 : 7;
  const bench = await server.createDatabase("bench_callbacks");
  const sink = await startBenchSink();
  const secretBox = createSecretBox(Buffer.alloc(32, 7), systemRandom);
  await seed(bench, sink, secretBox.seal(Buffer.alloc(32, 9)));
  const delivered: number[] = [];
  const bare: number[] = [];
  try {
    // The first round warms up and is thrown away.
    for (let round = 0; round <= rounds; round++) {
      say(`(d) callbacks: round ${round} of ${rounds}`);
      const bodies = await makeDue(bench, count, round);
      const mine = count / ((await deliverAll(bench, secretBox)) / 1000);
      const floor = count / ((await timed(() => postAll(sink, bodies))) / 1000);
      if (round === 0) continue;
      delivered.push(mine);
      bare.push(floor);
    }
  } finally {
    await sink.stop();
  }
  return [
    {
      group: "d",
      name: `deliver ${count} callbacks to ${ENDPOINTS} endpoints`,
      unit: "callbacks/s",
      rounds: delivered,
      floorName: `the same bodies posted with bare undici, ${CONCURRENCY} at once`,
      floorRounds: bare,
    },
  ] satisfies Measured[];
};

async function seed({ database }: BenchDatabase, sink: BenchSink, secret: Buffer): Promise<void> {
  await database.query("INSERT INTO merchants (id, name) VALUES ($1, 'Bench')", [MERCHANT_ID]);
  await database.query(
    `INSERT INTO endpoints (id, merchant_id, url, events, secret)
     SELECT 'end_' || n, $1, $2, '{endpoint.test}', $3 FROM generate_series(1, ${ENDPOINTS}) AS n`,
    [MERCHANT_ID, `${sink.url}/callbacks`, secret],
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

/** Milliseconds until everything is delivered and recorded. */
async function deliverAll(
  { database }: BenchDatabase,
  secretBox: ReturnType<typeof createSecretBox>,
): Promise<number> {
  const stopping = new AbortController();
  const deliverer = createDeliverer({
    database,
    secretBox,
    callbacks: () => ({
      timeoutMs: 15_000,
      scheduleMs: [0, 5_000],
      allowPrivateTargets: true,
      connectTimeoutMs: 10_000,
      headersTimeoutMs: 15_000,
      bodyTimeoutMs: 5_000,
      proxyUrl: null,
      clientCertificate: null,
      disableAfterMs: 86_400_000,
      concurrency: CONCURRENCY,
    }),
    sweepIntervalMs: 60_000,
    shutdownGraceMs: 1_000,
    clock: systemClock,
    random: systemRandom,
    logger: silentLogger,
  });
  const ms = await timed(() => deliverer.drain());
  stopping.abort();
  await deliverer.run(stopping.signal);
  const [row] = await database.query<{ due: bigint }>(
    "SELECT count(*) AS due FROM deliveries WHERE state <> 'delivered'",
  );
  if (row?.due !== 0n) throw new Error(`${row?.due} callbacks were not delivered`);
  return ms;
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
