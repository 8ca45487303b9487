/** What the groups about callbacks share: endpoints, a deliverer, and events at a steady rate, each timed to its arrival. */
import { createDeliverer, type Deliverer } from "../../src/flow/deliver-callbacks.ts";
import { systemClock } from "../../src/runtime/clock.ts";
import { silentLogger } from "../../src/runtime/logger.ts";
import { systemRandom } from "../../src/runtime/random.ts";
import { createSecretBox } from "../../src/runtime/secret-box.ts";
import { MERCHANT_ID } from "../../src/testing/factory.ts";
import { waitFor } from "../../src/testing/wait-for.ts";
import type { BenchDatabase } from "./bench-database.ts";
import type { BenchSink } from "./sink.ts";

const secretBox = createSecretBox(Buffer.alloc(32, 7), systemRandom);

/** As in the default config. */
export const CONCURRENCY = 64;

export async function insertEndpoints(
  { database }: BenchDatabase,
  url: string,
  prefix: string,
  count: number,
): Promise<string[]> {
  await database.query("INSERT INTO merchants (id, name) VALUES ($1, 'Bench') ON CONFLICT DO NOTHING", [
    MERCHANT_ID,
  ]);
  const rows = await database.query<{ id: string }>(
    `INSERT INTO endpoints (id, merchant_id, url, events, secret)
     SELECT $4 || n, $1, $2, '{endpoint.test}', $3 FROM generate_series(1, $5::integer) AS n RETURNING id`,
    [MERCHANT_ID, url, secretBox.seal(Buffer.alloc(32, 9)), prefix, count],
  );
  return rows.map(({ id }) => id);
}

/** So many due deliveries to each of the endpoints, of one event each time. */
export async function insertBacklog(
  { database }: BenchDatabase,
  endpointIds: readonly string[],
  each: number,
): Promise<void> {
  await database.query(
    `WITH event AS (
       INSERT INTO events (merchant_id, type, body)
       SELECT $1, 'endpoint.test', json_build_object('type', 'endpoint.test', 'timestamp', now(),
         'data', json_build_object('n', n, 'padding', repeat('x', 830)))::text FROM generate_series(1, $3::integer) n
       RETURNING id
     ) INSERT INTO deliveries (event_id, endpoint_id) SELECT event.id, endpoint FROM event, unnest($2::text[]) endpoint`,
    [MERCHANT_ID, endpointIds, each],
  );
}

/** The same that the daemon runs, with its default config but for private targets. */
export async function withDeliverer<Result>(
  { database }: BenchDatabase,
  work: (deliverer: Deliverer) => Promise<Result>,
): Promise<Result> {
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
      disableAfterMs: 5 * 86_400_000,
      concurrency: CONCURRENCY,
    }),
    sweepIntervalMs: 5_000,
    shutdownGraceMs: 1_000,
    clock: systemClock,
    random: systemRandom,
    logger: silentLogger,
  });
  const running = deliverer.run(stopping.signal);
  try {
    return await work(deliverer);
  } finally {
    stopping.abort();
    await running;
  }
}

const STEP_MS = 10;

/**
 * Commits events at a steady rate, each with a delivery to one of the endpoints in turn.
 *
 * @returns milliseconds from each commit's acknowledgement to the arrival of its callback
 */
export async function deliverSteadily(
  { database }: BenchDatabase,
  sink: BenchSink,
  deliverer: Deliverer,
  load: { readonly endpointIds: readonly string[]; readonly perSecond: number; readonly seconds: number },
): Promise<number[]> {
  const committedAt = new Map<string, number>();
  const perStep = (load.perSecond * STEP_MS) / 1000;
  const steps = Math.round((load.seconds * 1000) / STEP_MS);
  const commits: Promise<void>[] = [];
  await sink.takeKept();
  const startedAt = performance.now();
  let count = 0;
  for (let step = 1; step <= steps; step++) {
    const ids: string[] = [];
    for (; count < step * perStep; count++) ids.push(`event-${count}`);
    if (ids.length > 0) commits.push(commit(ids));
    const aheadMs = startedAt + step * STEP_MS - performance.now();
    if (aheadMs > 0) await systemClock.sleep(aheadMs);
  }
  await Promise.all(commits);
  return untilArrived();

  async function commit(ids: readonly string[]): Promise<void> {
    await database.query(
      `WITH event AS (
         INSERT INTO events (merchant_id, type, body)
         SELECT $1, 'endpoint.test', json_build_object('type', 'endpoint.test', 'timestamp', now(),
           'data', json_build_object('id', id, 'status', '', 'blockNumber', 0, 'padding', repeat('x', 830)))::text
         FROM unnest($2::text[]) id RETURNING id
       ) INSERT INTO deliveries (event_id, endpoint_id)
       SELECT id, ($3::text[])[1 + ($4::integer + row_number() OVER ()) % cardinality($3::text[])] FROM event`,
      [MERCHANT_ID, ids, load.endpointIds, Math.floor(Math.random() * 1_000)],
    );
    const now = performance.timeOrigin + performance.now();
    for (const id of ids) committedAt.set(id, now);
    deliverer.nudge();
  }

  async function untilArrived(): Promise<number[]> {
    const latencies = new Map<string, number>();
    await waitFor(
      async () => {
        for (const { depositId, atMs } of await sink.takeKept()) {
          const at = committedAt.get(depositId);
          if (at !== undefined && !latencies.has(depositId)) latencies.set(depositId, Math.max(0, atMs - at));
        }
        return latencies.size === committedAt.size;
      },
      { timeoutMs: 120_000, intervalMs: 50, what: "every callback to arrive" },
    );
    return [...latencies.values()];
  }
}
