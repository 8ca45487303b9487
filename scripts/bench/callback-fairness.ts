/**
 * (h) A hundred endpoints of which 20 hang: what the other 80 lose.
 *
 * Floor: the same 80 with the same work, and nobody who hangs.
 */
import { endDueDeliveries } from "../../src/testing/callbacks.ts";
import { waitFor } from "../../src/testing/wait-for.ts";
import type { BenchDatabase } from "./bench-database.ts";
import type { BenchGroup } from "./bench-parts.ts";
import { deliverSteadily, insertBacklog, insertEndpoints, withDeliverer } from "./callback-rig.ts";
import { type Measured, percentile, timed } from "./measure.ts";
import { startBenchSink } from "./sink.ts";

const HEALTHY = 80;
const HANGING = 20;
const PER_SECOND = 300;

export const benchCallbackFairness: BenchGroup = async ({ server, isQuick, say }) => {
  const each = isQuick ? 20 : 100;
  const rounds = isQuick ? 2 : 5;
  const seconds = isQuick ? 3 : 20;
  const bench = await server.createDatabase("bench_callback_fairness");
  const sink = await startBenchSink();
  try {
    const healthy = await insertEndpoints(bench, `${sink.url}/kept`, "end_well_", HEALTHY);
    const hanging = await insertEndpoints(bench, `${sink.url}/hang`, "end_hangs_", HANGING);
    const alone: number[] = [];
    const beside: number[] = [];
    // The first round warms up and is thrown away.
    for (let round = 0; round <= rounds; round++) {
      say(`(h) callbacks beside endpoints that hang: round ${round} of ${rounds}`);
      const without = await measure(bench, healthy, [], each);
      const withHanging = await measure(bench, healthy, hanging, each);
      if (round === 0) continue;
      alone.push(without);
      beside.push(withHanging);
    }
    await reopen(bench);
    await insertBacklog(bench, hanging, 50);
    const load = { endpointIds: healthy, perSecond: PER_SECOND, seconds };
    const latencies = await withDeliverer(bench, (deliverer) =>
      deliverSteadily(bench, sink, deliverer, load),
    );
    const floor = await withoutHanging(bench, () =>
      withDeliverer(bench, (deliverer) => deliverSteadily(bench, sink, deliverer, load)),
    );
    return [
      {
        group: "h",
        name: `${HEALTHY} endpoints beside ${HANGING} that hang`,
        unit: "callbacks/s",
        rounds: beside,
        floorName: "nobody hangs",
        floorRounds: alone,
        target: (_value, ratio) => ({ text: "0.9 of it", isMet: ratio >= 0.9 }),
      },
      {
        group: "h",
        name: `commit → callback received, ${PER_SECOND} events/s to them, p99`,
        unit: "ms",
        rounds: [percentile(latencies, 0.99)],
        floorName: "nobody hangs",
        floorRounds: [percentile(floor, 0.99)],
        target: (value) => ({ text: "below 250 ms", isMet: value < 250 }),
      },
    ] satisfies Measured[];
  } finally {
    await sink.stop();
  }
};

/** Callbacks a second to those that are well. */
async function measure(
  bench: BenchDatabase,
  healthy: readonly string[],
  hanging: readonly string[],
  each: number,
): Promise<number> {
  await reopen(bench);
  await insertBacklog(bench, [...healthy, ...hanging], each);
  const ms = await withDeliverer(bench, (deliverer) =>
    timed(async () => {
      deliverer.nudge();
      await waitFor(() => isDelivered(bench), {
        timeoutMs: 300_000,
        intervalMs: 20,
        what: "all to be delivered",
      });
    }),
  );
  return (healthy.length * each * 1000) / ms;
}

/** As if nobody had hung before, and nothing were left of it. */
async function reopen({ database }: BenchDatabase): Promise<void> {
  await endDueDeliveries(database, "failed");
  await database.query(
    "UPDATE endpoints SET failures = 0, pauses = 0, paused_until = NULL, failing_since = NULL, last_failed_at = NULL",
  );
}

async function withoutHanging<Result>(bench: BenchDatabase, work: () => Promise<Result>): Promise<Result> {
  await reopen(bench);
  return work();
}

async function isDelivered({ database }: BenchDatabase): Promise<boolean> {
  const [row] = await database.query<{ due: boolean }>(
    "SELECT EXISTS (SELECT FROM due_deliveries WHERE endpoint_id LIKE 'end_well_%') AS due",
  );
  return row?.due === false;
}
