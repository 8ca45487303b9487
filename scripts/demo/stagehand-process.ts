/** See `stagehand.ts`. */
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { systemClock } from "../../src/runtime/clock.ts";

const STOP_GRACE_MS = 15_000;
const POLL_MS = 20;

const [folder = "", dataDir = ""] = process.argv.slice(2);
const pids: number[] = [];

// Only the end of the pipe ends it. A closed terminal must not: there is something to clear up.
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, () => undefined);
for (const stream of [process.stdout, process.stderr]) stream.on("error", () => undefined);

for await (const line of createInterface({ input: process.stdin })) {
  const [word, pid] = line.split(" ");
  if (word === "watch") pids.unshift(Number(pid));
  if (word === "forget") pids.splice(pids.indexOf(Number(pid)), 1);
}
for (const pid of pids) await stop(pid);
await clearDatabase();
await rm(folder, { recursive: true, force: true });

async function stop(pid: number): Promise<void> {
  signal(pid, "SIGTERM");
  const until = systemClock.monotonic() + STOP_GRACE_MS;
  while (signal(pid, 0) && systemClock.monotonic() < until) await systemClock.sleep(POLL_MS);
  signal(pid, "SIGKILL");
}

/** Whether it was there. */
function signal(pid: number, name: NodeJS.Signals | 0): boolean {
  try {
    return process.kill(pid, name);
  } catch {
    return false;
  }
}

/** A daemon that was killed leaves its PostgreSQL running: join it, and leave it as the last one. */
async function clearDatabase(): Promise<void> {
  const { CLUSTER_FOLDER, readPointer } = await import("../../src/db/embedded/placement.ts");
  const { readServerState } = await import("../../src/db/embedded/server.ts");
  const { deleteEmbeddedPostgres, startEmbeddedPostgres } = await import("../../src/db/embedded-postgres.ts");
  const { systemRandom } = await import("../../src/runtime/random.ts");
  const { silentLogger } = await import("../../src/runtime/logger.ts");

  const cluster = join((await readPointer(dataDir)) ?? dataDir, CLUSTER_FOLDER, "data");
  if ((await readServerState(cluster)).kind !== "stopped") {
    const options = { dataDir, clock: systemClock, random: systemRandom, logger: silentLogger };
    await (await startEmbeddedPostgres(options)).stop();
  }
  await deleteEmbeddedPostgres(dataDir);
}
