/**
 * (g) From an event's commit to its callback's arrival, at 500 events a second; and the same while a million deliveries
 * wait, due to endpoints that are paused and disabled, and to one of those that get the events.
 *
 * Floor: one commit of an event with its delivery, and one POST, one after the other, nothing else going on.
 */
import { Pool } from "undici";
import { MERCHANT_ID } from "../../src/testing/factory.ts";
import type { BenchDatabase } from "./bench-database.ts";
import type { BenchGroup } from "./bench-parts.ts";
import { deliverSteadily, insertBacklog, insertEndpoints, withDeliverer } from "./callback-rig.ts";
import { type Measured, percentile, timed } from "./measure.ts";
import { type BenchSink, startBenchSink } from "./sink.ts";

const PER_SECOND = 500;
const BEHIND_PER_SECOND = 100;
const BATCH = 50_000;

export const benchCallbackLatency: BenchGroup = async ({ server, isQuick, say }) => {
  const seconds = isQuick ? 3 : 20;
  const backlog = isQuick ? 20_000 : 1_000_000;
  const bench = await server.createDatabase("bench_callback_latency");
  const sink = await startBenchSink();
  try {
    const endpointIds = await insertEndpoints(bench, `${sink.url}/kept`, "end_fresh_", 10);
    const floors = await measureFloor(bench, sink, isQuick ? 50 : 300);
    say(`(g) callbacks: ${PER_SECOND} events a second for ${seconds} s`);
    const steady = await withDeliverer(bench, async (deliverer) => {
      await deliverSteadily(bench, sink, deliverer, { endpointIds, perSecond: PER_SECOND, seconds: 2 });
      return deliverSteadily(bench, sink, deliverer, { endpointIds, perSecond: PER_SECOND, seconds });
    });
    say(`(g) callbacks: ${backlog} deliveries wait`);
    await insertWaiting(bench, sink, backlog);
    const behind = await withDeliverer(bench, (deliverer) =>
      deliverSteadily(bench, sink, deliverer, { endpointIds, perSecond: BEHIND_PER_SECOND, seconds }),
    );
    return [
      ...figures(`event committed → callback received, ${PER_SECOND} events/s`, steady, floors, 100),
      ...figures(
        `the same, ${BEHIND_PER_SECOND} events/s, ${backlog} deliveries waiting`,
        behind,
        floors,
        100,
      ),
    ];
  } finally {
    await sink.stop();
  }
};

/** A third each: of an endpoint that is disabled, of one whose breaker is open, and for tomorrow. */
async function insertWaiting(bench: BenchDatabase, sink: BenchSink, count: number): Promise<void> {
  const ids = await insertEndpoints(bench, `${sink.url}/hang`, "end_waiting_", 3);
  for (let done = 0; done < count; done += BATCH * 3) {
    await insertBacklog(bench, ids, Math.min(BATCH, Math.ceil((count - done) / 3)));
  }
  await bench.database.query(
    `UPDATE endpoints SET status = 'disabled', disabled_reason = 'by_merchant' WHERE id = 'end_waiting_1'`,
  );
  await bench.database.query(
    "UPDATE endpoints SET paused_until = now() + interval '1 day', failing_since = now() WHERE id = 'end_waiting_2'",
  );
  await bench.database.query(
    "UPDATE due_deliveries SET next_attempt_at = now() + interval '1 day' WHERE endpoint_id = 'end_waiting_3'",
  );
  await bench.database.query("VACUUM ANALYZE deliveries, due_deliveries");
  // A backlog has been there for a while. Before it is on the disk, who claims has to write its pages out to read others.
  await bench.database.query("CHECKPOINT");
}

async function measureFloor({ database }: BenchDatabase, sink: BenchSink, count: number): Promise<number[]> {
  const pool = new Pool(sink.url, { connections: 1 });
  const body = JSON.stringify({ type: "endpoint.test", data: { padding: "x".repeat(830) } });
  const rounds: number[] = [];
  for (let round = 0; round < count; round++) {
    rounds.push(
      await timed(async () => {
        await database.query(
          `WITH event AS (INSERT INTO events (merchant_id, type, body) VALUES ($1, 'endpoint.test', $2) RETURNING id)
           INSERT INTO deliveries (event_id, endpoint_id, state, finished_at)
           SELECT id, 'end_fresh_1', 'delivered', now() FROM event`,
          [MERCHANT_ID, body],
        );
        const answer = await pool.request({ path: "/callbacks", method: "POST", body });
        await answer.body.dump();
      }),
    );
  }
  await pool.close();
  return rounds;
}

function figures(name: string, latencies: number[], floors: number[], p99AtMost: number): Measured[] {
  const common = { group: "g", unit: "ms", floorName: "one commit and one POST" };
  return [
    {
      ...common,
      name: `${name}, p50`,
      rounds: [percentile(latencies, 0.5)],
      floorRounds: [percentile(floors, 0.5)],
    },
    {
      ...common,
      name: `${name}, p99`,
      rounds: [percentile(latencies, 0.99)],
      floorRounds: [percentile(floors, 0.99)],
      target: (value) => ({ text: `below ${p99AtMost} ms`, isMet: value < p99AtMost }),
    },
  ];
}
