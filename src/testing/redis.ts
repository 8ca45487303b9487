/** A Redis of a test's own, wherever a redis-server is found; else the one that REDIS_URL names; else none. */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Redis } from "ioredis";
import { waitFor } from "./wait-for.ts";

export interface TestRedis {
  readonly url: string;
  /** Deletes everything in it; in a Redis that is not the test's own, everything of depositd's. */
  flush(): Promise<void>;
  /** Present when the server is the test's own: kills it, and starts it on the same port with nothing in it. */
  readonly restart?: () => Promise<void>;
  stop(): Promise<void>;
}

/** Why there is no Redis for tests here, or `null`: there is one. Says so aloud, once per file that asks. */
export function findMissingRedis(): string | null {
  if (process.env["REDIS_URL"] || findRedisServer() !== undefined) return null;
  const reason = "no redis-server in PATH, and neither REDIS_SERVER (its path) nor REDIS_URL is set";
  process.stderr.write(`\nRedis tests did not run: ${reason}\n\n`);
  return reason;
}

export async function startTestRedis(extraArgs: readonly string[] = []): Promise<TestRedis> {
  const program = findRedisServer();
  const external = process.env["REDIS_URL"];
  if (program === undefined && external) {
    return { url: external, flush: () => ask(external, deleteOurKeys), stop: () => Promise.resolve() };
  }
  if (program === undefined) throw new Error("There is no Redis here; ask findMissingRedis first");

  const port = await findFreePort();
  const folder = await mkdtemp(join(tmpdir(), "depositd-redis-"));
  const url = `redis://127.0.0.1:${port}`;
  let child: ChildProcess | undefined;
  const start = async () => {
    child = spawn(
      program,
      ["--port", `${port}`, "--bind", "127.0.0.1", "--save", "", "--dir", folder, ...extraArgs],
      {
        stdio: "ignore",
      },
    );
    await waitFor(() => ask(url, (redis) => redis.ping()), { what: "redis-server" });
  };
  const kill = async () => {
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const exited = once(child, "exit");
    child.kill("SIGKILL");
    await exited;
  };
  await start();
  return {
    url,
    flush: () => ask(url, (redis) => redis.flushall()).then(() => undefined),
    restart: async () => {
      await kill();
      await start();
    },
    stop: async () => {
      await kill();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

function findRedisServer(): string | undefined {
  const program = process.env["REDIS_SERVER"] ?? "redis-server";
  return spawnSync(program, ["--version"], { stdio: "ignore" }).status === 0 ? program : undefined;
}

async function ask<Result>(url: string, question: (redis: Redis) => Promise<Result>): Promise<Result> {
  const redis = new Redis(url, { lazyConnect: true, retryStrategy: () => null });
  redis.on("error", () => undefined);
  try {
    await redis.connect();
    return await question(redis);
  } finally {
    redis.disconnect();
  }
}

async function deleteOurKeys(redis: Redis): Promise<void> {
  for await (const keys of redis.scanStream({ match: "depositd:*" })) {
    if (keys.length > 0) await redis.unlink(keys);
  }
}

/** For servers that cannot choose one themselves. */
function findFreePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.on("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const address = server.address();
      const port = typeof address === "object" && address !== null ? address.port : 0;
      server.close(() => resolve(port));
    });
  });
}
