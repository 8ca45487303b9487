/** What the queue may run on. The spine is proved on each of them; where there is no Redis, the report says so. */
import { describe } from "vitest";
import { findMissingRedis, startTestRedis, type TestRedis } from "../testing/redis.ts";

export interface QueueBackend {
  /** Starts what the queue needs. `null`: BullMQ on the daemon's own PostgreSQL. */
  start(): Promise<string | null>;
  stop(): Promise<void>;
}

/** Defines the same tests for each backend; those of one that is not there show as skipped. */
export function describeOnEachQueue(title: string, define: (backend: QueueBackend) => void): void {
  describe(`${title}, queue on PostgreSQL`, () => define(onPostgres));
  const missing = findMissingRedis();
  const reason = missing === null ? "" : ` (skipped: ${missing})`;
  describe.skipIf(missing !== null)(`${title}, queue on Redis${reason}`, () => define(onRedis()));
}

const onPostgres: QueueBackend = { start: async () => null, stop: async () => undefined };

function onRedis(): QueueBackend {
  let redis: TestRedis | undefined;
  return {
    start: async () => {
      redis = await startTestRedis();
      await redis.flush();
      return redis.url;
    },
    stop: async () => {
      await redis?.stop();
    },
  };
}
