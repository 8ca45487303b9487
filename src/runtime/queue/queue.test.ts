import { randomUUID } from "node:crypto";
import pg from "pg";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { createDatabase, dropDatabase } from "../../testing/database.ts";
import { findMissingRedis, startTestRedis, type TestRedis } from "../../testing/redis.ts";
import { waitFor } from "../../testing/wait-for.ts";
import { systemClock } from "../clock.ts";
import { type Logger, silentLogger } from "../logger.ts";
import { createQueue, type Queue, type QueueJob } from "./queue.ts";

/** Where a queue lives in a test, and how to hurt it. */
interface Home {
  readonly config: { url: string | null };
  readonly databaseUrl: string;
  /** Ends every connection that is open now. Absent: not ours to hurt. */
  readonly disconnect?: (() => Promise<void>) | undefined;
  flush(): Promise<void>;
  stop(): Promise<void>;
}

async function postgresHome(): Promise<Home> {
  const { name, url } = await createDatabase();
  const ask = async (sql: string) => {
    const client = new pg.Client({ connectionString: url });
    await client.connect();
    await client.query(sql);
    await client.end();
  };
  return {
    config: { url: null },
    databaseUrl: url,
    disconnect: () =>
      ask(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity
           WHERE datname = current_database() AND pid <> pg_backend_pid()`),
    flush: () =>
      ask(`DO $$ BEGIN
             IF to_regclass('bullmq.job') IS NOT NULL THEN TRUNCATE bullmq.job, bullmq.meta, bullmq.event CASCADE; END IF;
           END $$`),
    stop: () => dropDatabase(name),
  };
}

async function redisHome(): Promise<Home> {
  const redis: TestRedis = await startTestRedis();
  return {
    config: { url: redis.url },
    databaseUrl: "postgres://unused",
    disconnect: redis.restart,
    flush: () => redis.flush(),
    stop: () => redis.stop(),
  };
}

/** What a worker did, for tests to wait for. */
function recorder() {
  const ids: string[] = [];
  const jobs: QueueJob[] = [];
  return {
    ids,
    jobs,
    handle: async (job: QueueJob) => {
      ids.push(job.id);
      jobs.push(job);
    },
    until: (count: number) => waitFor(() => ids.length >= count, { what: `${count} jobs, got ${ids}` }),
  };
}

describe.each([
  { kind: "PostgreSQL", create: postgresHome, missing: null },
  { kind: "Redis", create: redisHome, missing: findMissingRedis() },
])("queue on $kind", ({ create, missing }) => {
  describe.skipIf(missing !== null)("", () => {
    let home: Home;
    const queues: Queue[] = [];
    const lost: string[] = [];

    beforeAll(async () => {
      home = await create();
    });
    afterEach(async () => {
      await Promise.all(queues.splice(0).map((queue) => queue.close(0)));
      await home.flush();
      lost.length = 0;
    });
    afterAll(() => home.stop());

    const open = (logger: Logger = silentLogger): Queue => {
      const queue = createQueue({
        config: home.config,
        databaseUrl: home.databaseUrl,
        logger,
        clock: systemClock,
        onHintLost: (name) => lost.push(name),
      });
      queues.push(queue);
      return queue;
    };
    const id = (prefix = "job") => `${prefix}-${randomUUID()}`;
    const job = (delayMs?: number) => ({ id: id(), data: {}, ...(delayMs === undefined ? {} : { delayMs }) });

    it("runs a job with its id and its data", async () => {
      const queue = open();
      const done = recorder();
      queue.work("settle", { concurrency: 1, handle: done.handle });
      await queue.nudge("settle", { id: "settle-1-100", data: { chainId: 1, block: 100, tag: "safe" } });
      await done.until(1);
      expect(done.jobs).toEqual([{ id: "settle-1-100", data: { chainId: 1, block: 100, tag: "safe" } }]);
    });

    it("keeps the two queues apart", async () => {
      const queue = open();
      const settle = recorder();
      const deliver = recorder();
      queue.work("settle", { concurrency: 1, handle: settle.handle });
      queue.work("deliver", { concurrency: 1, handle: deliver.handle });
      await queue.nudge("deliver", { id: "a", data: {} });
      await queue.nudge("settle", { id: "b", data: {} });
      await Promise.all([settle.until(1), deliver.until(1)]);
      expect({ settle: settle.ids, deliver: deliver.ids }).toEqual({ settle: ["b"], deliver: ["a"] });
    });

    it("keeps jobs for a worker that starts later", async () => {
      const added = job();
      await open().nudge("settle", added);
      const done = recorder();
      open().work("settle", { concurrency: 1, handle: done.handle });
      await done.until(1);
      expect(done.ids).toEqual([added.id]);
    });

    it("takes the same id twice while it waits for one job", async () => {
      const queue = open();
      const twice = job();
      await queue.nudge("settle", twice);
      await queue.nudge("settle", twice);
      const last = job();
      await queue.nudge("settle", last);
      const done = recorder();
      queue.work("settle", { concurrency: 1, handle: done.handle });
      await done.until(2);
      expect(done.ids).toEqual([twice.id, last.id]);
    });

    it("runs the same id again once it is done, also after it failed", async () => {
      const queue = open();
      const again = job();
      let runs = 0;
      queue.work("settle", {
        concurrency: 1,
        handle: () => {
          runs += 1;
          return runs === 1 ? Promise.reject(new Error("on purpose")) : Promise.resolve();
        },
      });
      for (const expected of [1, 2, 3]) {
        await waitFor(async () => {
          // The job that ends just now still has its id: until it is gone, adding it changes nothing.
          await queue.nudge("settle", again);
          return runs >= expected;
        });
      }
    });

    it("runs a delayed job when it is due, and not before", async () => {
      const queue = open();
      const firedAt: number[] = [];
      queue.work("settle", {
        concurrency: 1,
        handle: async () => {
          firedAt.push(systemClock.monotonic());
        },
      });
      const before = systemClock.monotonic();
      await queue.nudge("settle", job(700));
      await waitFor(() => firedAt.length > 0);
      const waitedMs = (firedAt[0] ?? 0) - before;
      expect(waitedMs).toBeGreaterThanOrEqual(690);
      expect(waitedMs).toBeLessThan(2_500);
    });

    it("makes a delayed job run at once when it is promoted", async () => {
      const queue = open();
      const done = recorder();
      queue.work("settle", { concurrency: 1, handle: done.handle });
      const delayed = job(3_600_000);
      await queue.nudge("settle", delayed);
      expect(done.ids).toEqual([]);
      expect(await queue.promote("settle", delayed.id)).toBe(true);
      await done.until(1);
    });

    it("answers false when there is no delayed job to promote", async () => {
      const queue = open();
      const waiting = job();
      await queue.nudge("settle", waiting);
      expect(await queue.promote("settle", waiting.id)).toBe(false);
      expect(await queue.promote("settle", id("none"))).toBe(false);
      expect(lost).toEqual([]);
      const done = recorder();
      queue.work("settle", { concurrency: 1, handle: done.handle });
      await done.until(1);
    });

    it("brings a job that came too early again, as often as it asks, and promotes it meanwhile", async () => {
      const queue = open();
      const runs: number[] = [];
      const early = job();
      queue.work("settle", {
        concurrency: 1,
        handle: async () => {
          runs.push(systemClock.monotonic());
          if (runs.length === 1) return { againInMs: 300 };
          return runs.length === 2 ? { againInMs: 3_600_000 } : undefined;
        },
      });
      await queue.nudge("settle", early);
      await waitFor(() => runs.length === 2);
      expect((runs[1] ?? 0) - (runs[0] ?? 0)).toBeGreaterThanOrEqual(290);
      await waitFor(() => queue.promote("settle", early.id));
      await waitFor(() => runs.length === 3);
    });

    it("runs as many jobs at once as it may, and no more", async () => {
      const queue = open();
      let now = 0;
      let most = 0;
      let done = 0;
      queue.work("deliver", {
        concurrency: 3,
        handle: async () => {
          now += 1;
          most = Math.max(most, now);
          await systemClock.sleep(50);
          now -= 1;
          done += 1;
        },
      });
      for (let i = 0; i < 9; i++) await queue.nudge("deliver", job());
      await waitFor(() => done === 9);
      expect(most).toBe(3);
    });

    it("waits at its close for the jobs that run, and tells them to be quick", async () => {
      const queue = open();
      let state = "waiting";
      queue.work("settle", {
        concurrency: 1,
        handle: async (_job, signal) => {
          state = "running";
          await systemClock.sleep(60_000, signal);
          await systemClock.sleep(100);
          state = "done";
        },
      });
      await queue.nudge("settle", job());
      await waitFor(() => state === "running");
      await Promise.all([queue.close(10_000), queue.close(10_000)]);
      expect(state).toBe("done");
    });

    it("H10: hands a job back at its close when it does not end in time, and another takes it", async () => {
      const queue = open();
      const stuck = job();
      let isRunning = false;
      const held = new AbortController();
      queue.work("settle", {
        concurrency: 1,
        handle: () => {
          isRunning = true;
          return systemClock.sleep(600_000, held.signal);
        },
      });
      await queue.nudge("settle", stuck);
      await waitFor(() => isRunning);
      const before = systemClock.monotonic();
      await queue.close(200);
      expect(systemClock.monotonic() - before).toBeLessThan(2_500);

      const done = recorder();
      open().work("settle", { concurrency: 1, handle: done.handle });
      await done.until(1);
      expect(done.ids).toEqual([stuck.id]);
      held.abort();
    });

    it("refuses an id that BullMQ would misunderstand", async () => {
      const queue = open();
      for (const bad of ["123", "a:b", "", "a b"]) {
        await expect(queue.nudge("settle", { id: bad, data: {} })).rejects.toThrow("A job's id");
      }
    });

    it("answers a ping, and nothing after its close", async () => {
      const queue = open();
      await waitFor(() => queue.ping().then(() => true));
      await queue.close(0);
      await expect(queue.ping()).rejects.toMatchObject({ code: "queue_unreachable" });
    });

    it("H6: goes on with new jobs after everything in it was deleted", async () => {
      const queue = open();
      const done = recorder();
      queue.work("settle", { concurrency: 1, handle: done.handle });
      await queue.nudge("settle", job(3_600_000));
      await queue.nudge("settle", job());
      await done.until(1);
      await home.flush();
      await queue.nudge("settle", job());
      await done.until(2);
      const delayed = job(3_600_000);
      await queue.nudge("settle", delayed);
      expect(await queue.promote("settle", delayed.id)).toBe(true);
      await done.until(3);
    });

    it("H6: goes on with new jobs after its server was restarted, and says once that it was away", async () => {
      if (home.disconnect === undefined) return;
      const lines: string[] = [];
      const logger = listLogger(lines);
      const queue = open(logger);
      const done = recorder();
      queue.work("settle", { concurrency: 1, handle: done.handle });
      queue.work("deliver", { concurrency: 1, handle: done.handle });
      await queue.nudge("settle", job());
      await done.until(1);
      for (let round = 1; round <= 2; round++) {
        await home.disconnect();
        const count = done.ids.length;
        await waitFor(
          async () => {
            await queue.nudge("settle", job());
            return done.ids.length > count;
          },
          { timeoutMs: 20_000, intervalMs: 100 },
        );
      }
      expect(lines.filter((line) => line.startsWith("Lost the queue"))).toHaveLength(1);
    });
  });
});

/** Notes what is said; with its facts, where `withFields` is set. */
function listLogger(lines: string[], { withFields = false } = {}): Logger {
  const note = (sentence: string, fields = {}) =>
    lines.push(withFields ? sentence + JSON.stringify(fields) : sentence);
  const logger: Logger = {
    debug: note,
    info: note,
    warn: note,
    error: note,
    writes: () => true,
    with: () => logger,
  };
  return logger;
}

describe.each([
  { kind: "PostgreSQL", config: { url: null } },
  { kind: "Redis", config: { url: "redis://someone:s3cret-word@127.0.0.1:1" } },
])("queue on a $kind that is away", ({ config }) => {
  it("loses nudges without an error and without a wait, says so once, and keeps the password to itself", async () => {
    const said: string[] = [];
    const logger = listLogger(said, { withFields: true });
    let lost = 0;
    const queue = createQueue({
      config,
      databaseUrl: "postgres://someone:s3cret-word@127.0.0.1:1/none",
      logger,
      clock: systemClock,
      onHintLost: () => {
        lost += 1;
      },
    });
    const worker = queue.work("settle", { concurrency: 1, handle: () => Promise.resolve() });
    const before = systemClock.monotonic();
    for (let i = 0; i < 20; i++) await queue.nudge("settle", { id: `a-${i}`, data: {} });
    expect(await queue.promote("settle", "a-1")).toBe(false);
    expect(systemClock.monotonic() - before).toBeLessThan(2_000);
    await expect(queue.ping()).rejects.toMatchObject({
      code: "queue_unreachable",
      message: expect.stringContaining("127.0.0.1:1"),
    });
    await worker.close(100);
    await queue.close(100);
    expect(lost).toBeGreaterThanOrEqual(20);
    expect(said.filter((line) => line.startsWith("Lost the queue"))).toHaveLength(1);
    expect(said.join("\n")).not.toContain("s3cret");
  });
});
