/** Deliverers on a real database, with merchants to deliver to; all of them end with their test. */
import type { Delivery, DeliveryAttempt } from "../delivery/delivery-list-store.ts";
import { getDelivery, listDeliveries } from "../delivery/delivery-list-store.ts";
import { createDeliverer, type Deliverer, type DelivererParts } from "../flow/deliver-callbacks.ts";
import { systemClock } from "../runtime/clock.ts";
import type { CallbacksConfig } from "../runtime/config/config.ts";
import { silentLogger } from "../runtime/logger.ts";
import { systemRandom } from "../runtime/random.ts";
import { testSecretBox } from "./callbacks.ts";
import { createTestDatabase, type TestDatabase } from "./database.ts";
import { MERCHANT_ID } from "./factory.ts";
import { type Sink, startSink } from "./sink.ts";

export const TEST_CALLBACKS: CallbacksConfig = {
  timeoutMs: 5_000,
  scheduleMs: [0, 10, 10, 10],
  allowPrivateTargets: true,
  connectTimeoutMs: 10_000,
  headersTimeoutMs: null,
  bodyTimeoutMs: 5_000,
  proxyUrl: null,
  clientCertificate: null,
  disableAfterMs: 5 * 86_400_000,
  concurrency: 64,
};

export interface DelivererRig {
  readonly database: TestDatabase["database"];
  /** A deliverer that is not swept by time unless the test says so. */
  deliverer(
    options?: Partial<DelivererParts>,
    callbacks?: Partial<CallbacksConfig>,
  ): Deliverer & { stop(): Promise<void> };
  /** A merchant's server. */
  sink(options?: Parameters<typeof startSink>[0]): Promise<Sink>;
  /** How many of an endpoint's deliveries are in each state. */
  states(endpointId: string): Promise<Record<string, number>>;
  /** The newest one. */
  onlyDelivery(): Promise<{ delivery: Delivery; attempts: DeliveryAttempt[] }>;
  /** As if everything that waits had waited long enough. */
  letTimePass(): Promise<void>;
  /** Ends with the test. */
  afterwards(end: () => Promise<void>): void;
  /** Before each test: no endpoints, events and deliveries. */
  empty(): Promise<void>;
  /** After each test: ends what it began. */
  clear(): Promise<void>;
  /** After all of them. */
  drop(): Promise<void>;
}

export async function createDelivererRig(): Promise<DelivererRig> {
  const test = await createTestDatabase();
  const { database } = test;
  const ends: (() => Promise<void>)[] = [];
  const sinks: Sink[] = [];
  return {
    database,
    deliverer: (options = {}, callbacks = {}) => {
      const created = createDeliverer({
        database,
        secretBox: testSecretBox,
        callbacks: () => ({ ...TEST_CALLBACKS, ...callbacks }),
        sweepIntervalMs: 3_600_000,
        shutdownGraceMs: 2_000,
        clock: systemClock,
        random: systemRandom,
        logger: silentLogger,
        ...options,
      });
      const abort = new AbortController();
      const running = created.run(abort.signal);
      const stop = async () => {
        abort.abort();
        await running;
      };
      ends.push(stop);
      return { ...created, stop };
    },
    sink: async (options = {}) => {
      const started = await startSink(options);
      sinks.push(started);
      return started;
    },
    states: async (endpointId) => {
      const rows = await database.query<{ state: string; count: number }>(
        "SELECT state, count(*)::integer AS count FROM deliveries WHERE endpoint_id = $1 GROUP BY state",
        [endpointId],
      );
      return Object.fromEntries(rows.map(({ state, count }) => [state, count]));
    },
    onlyDelivery: async () => {
      const [delivery] = await listDeliveries(database, { merchantId: MERCHANT_ID, limit: 2 });
      return getDelivery(database, MERCHANT_ID, delivery?.id ?? "");
    },
    letTimePass: async () => {
      await database.query(
        `UPDATE due_deliveries SET next_attempt_at = least(next_attempt_at, now()),
           claimed_until = least(claimed_until, now() - interval '1 second')`,
      );
      await database.query("UPDATE endpoints SET paused_until = least(paused_until, now())");
    },
    afterwards: (end) => ends.push(end),
    empty: async () => {
      await database.query(
        "TRUNCATE delivery_attempts, due_deliveries, deliveries, events, replays, endpoints",
      );
    },
    clear: async () => {
      for (const end of ends.splice(0)) await end();
      for (const each of sinks.splice(0)) await each.close();
    },
    drop: () => test.drop(),
  };
}
