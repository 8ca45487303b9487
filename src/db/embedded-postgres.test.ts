import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { chmod, mkdir, mkdtemp, readdir, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import pg from "pg";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { systemClock } from "../runtime/clock.ts";
import { silentLogger } from "../runtime/logger.ts";
import { systemRandom } from "../runtime/random.ts";
import { waitFor } from "../testing/wait-for.ts";
import { readServerState } from "./embedded/server.ts";
import { deleteEmbeddedPostgres, type EmbeddedPostgres, startEmbeddedPostgres } from "./embedded-postgres.ts";

const isRoot = process.getuid?.() === 0;

let folder: string;
let dataDir: string;
const servers: EmbeddedPostgres[] = [];
const children: ChildProcess[] = [];

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "depositd-embedded-"));
  await chmod(folder, 0o755);
  dataDir = join(folder, "data");
});

afterEach(async () => {
  for (const child of children.splice(0)) {
    child.kill("SIGKILL");
    if (child.exitCode === null && child.signalCode === null) await once(child, "exit");
  }
  for (const server of servers.splice(0)) await server.stop();
  // Whatever a killed child left running is adopted and stopped here.
  await (await start()).stop();
  await deleteEmbeddedPostgres(dataDir);
  await rm(folder, { recursive: true });
});

async function start(dir = dataDir): Promise<EmbeddedPostgres> {
  const server = await startEmbeddedPostgres({
    dataDir: dir,
    logger: silentLogger,
    clock: systemClock,
    random: systemRandom,
    settings: { fsync: "off" },
  });
  servers.push(server);
  return server;
}

/** Another process that uses the same folder. */
async function startInChild(): Promise<{ child: ChildProcess; url: string }> {
  const program = fileURLToPath(new URL("../testing/embedded-holder.ts", import.meta.url));
  const child = spawn(process.execPath, ["--import", "tsx", program, dataDir], {
    stdio: ["pipe", "pipe", "inherit"],
  });
  children.push(child);
  const [line] = (await once(child.stdout ?? child, "data")) as [Buffer];
  return { child, url: line.toString().trim() };
}

async function query(url: string, sql: string): Promise<unknown[]> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    return (await client.query(sql)).rows;
  } finally {
    await client.end();
  }
}

async function serverPid(): Promise<number> {
  return Number((await readFile(join(dataDir, "postgresql/data/postmaster.pid"), "utf8")).split("\n")[0]);
}

async function isRunning(): Promise<boolean> {
  return (await readServerState(join(dataDir, "postgresql/data"))).kind !== "stopped";
}

describe("startEmbeddedPostgres", () => {
  it("stops cleanly and finds its data and its port again at the next start", async () => {
    const first = await start();
    await query(first.url, "CREATE TABLE kept AS SELECT 42 AS answer");
    await first.stop();
    await first.stop();
    expect(await isRunning()).toBe(false);

    const second = await start();
    expect(second.url).toBe(first.url);
    expect(await query(second.url, "SELECT answer FROM kept")).toEqual([{ answer: 42 }]);
    expect(await readFile(join(dataDir, "postgresql/server.log"), "utf8")).not.toContain("was interrupted");
  });

  it("answers only to its password, on this machine alone, in UTF-8", async () => {
    const { url } = await start();
    const wrong = new URL(url);
    wrong.password = "guess";
    await expect(query(wrong.href, "SELECT 1")).rejects.toThrow("password authentication failed");
    expect(
      await query(
        url,
        "SELECT current_setting('server_encoding') AS e, current_setting('listen_addresses') AS l",
      ),
    ).toEqual([{ e: "UTF8", l: "127.0.0.1" }]);
    expect((await stat(join(dataDir, "postgresql/password"))).mode & 0o777).toBe(0o600);
  });

  it("does not wait for disks only when a test says so: fsync is on by default", async () => {
    const server = await startEmbeddedPostgres({
      dataDir,
      logger: silentLogger,
      clock: systemClock,
      random: systemRandom,
    });
    servers.push(server);
    const names = ["fsync", "synchronous_commit", "full_page_writes"];
    const rows = await query(
      server.url,
      `SELECT name, setting FROM pg_settings WHERE name IN ('${names.join("','")}')`,
    );
    expect(rows).toHaveLength(3);
    for (const row of rows) expect(row).toMatchObject({ setting: "on" });
  });

  it("adopts the running server after its starter was killed", async () => {
    const { child, url } = await startInChild();
    await query(url, "CREATE TABLE kept AS SELECT 42 AS answer");
    const pid = await serverPid();
    child.kill("SIGKILL");
    await once(child, "exit");

    const adopted = await start();
    expect(await serverPid()).toBe(pid);
    expect(adopted.url).toBe(url);
    expect(await query(adopted.url, "SELECT answer FROM kept")).toEqual([{ answer: 42 }]);
    await adopted.stop();
    expect(await isRunning()).toBe(false);
  });

  it("leaves the server to the processes that still use it, and the last to leave stops it", async () => {
    const { child, url } = await startInChild();
    const beside = await start();
    expect(beside.url).toBe(url);
    await beside.stop();
    expect(await query(url, "SELECT 1 AS one")).toEqual([{ one: 1 }]);

    child.stdin?.end();
    await once(child, "exit");
    expect(child.exitCode).toBe(0);
    expect(await isRunning()).toBe(false);
  });

  it("makes one cluster and one server when several start at once in an empty folder", async () => {
    const [child, ...own] = await Promise.all([startInChild(), start(), start(), start()]);
    expect(new Set([child.url, ...own.map((server) => server.url)]).size).toBe(1);
    expect(await readdir(dataDir)).toEqual(["postgresql"]);
    for (const server of own) expect(await query(server.url, "SELECT 1 AS one")).toEqual([{ one: 1 }]);
  });

  it("does not join a server that its last user is just stopping, but starts it again", async () => {
    const { child, url } = await startInChild();
    child.kill("SIGKILL");
    await once(child, "exit");
    const oldPid = await serverPid();
    // As one who leaves does it: alone with the lock, then the end.
    const leaving = new pg.Client({ connectionString: url.replace(/\/depositd$/, "/postgres") });
    leaving.on("error", () => undefined);
    await leaving.connect();
    await waitFor(async () => {
      const { rows } = await leaving.query("SELECT pg_try_advisory_lock(7364311) AS alone");
      return rows[0].alone === true;
    });
    const sessions = async () => {
      const { rows } = await leaving.query(
        "SELECT sessions::int FROM pg_stat_database WHERE datname = 'postgres'",
      );
      return rows[0].sessions as number;
    };
    const before = await sessions();
    let isJoined = false;
    const arriving = start().then(() => {
      isJoined = true;
    });
    // It has come and been turned away a few times.
    await waitFor(async () => isJoined || (await sessions()) >= before + 3, { timeoutMs: 20_000 });
    expect(isJoined).toBe(false);
    process.kill(oldPid, "SIGINT");
    await arriving;
    expect(await serverPid()).not.toBe(oldPid);
    expect(await query(url, "SELECT 1 AS one")).toEqual([{ one: 1 }]);
  });

  it("never pulls the server from under one who arrives while the last one leaves", async () => {
    for (let round = 0; round < 3; round++) {
      const leaving = await start();
      const [arriving] = await Promise.all([start(), leaving.stop()]);
      expect(await query(arriving.url, "SELECT 1 AS one")).toEqual([{ one: 1 }]);
      await arriving.stop();
    }
  });

  it("begins again where making the cluster was cut off in the middle", async () => {
    const dead = spawn("true");
    await once(dead, "exit");
    const half = join(dataDir, `postgresql.new-${dead.pid}-0badf00d`);
    await mkdir(join(half, "data"), { recursive: true });
    await writeFile(join(half, "data/PG_VERSION"), "18\n");
    const { url } = await start();
    expect(await query(url, "SELECT 1 AS one")).toEqual([{ one: 1 }]);
    expect(await readdir(dataDir)).toEqual(["postgresql"]);
  });

  it("brings the server back on the same port when it is killed", async () => {
    const { url } = await start();
    await query(url, "CREATE TABLE kept AS SELECT 42 AS answer");
    const pid = await serverPid();
    process.kill(pid, "SIGKILL");
    const rows = await waitFor(() => query(url, "SELECT answer FROM kept"), { timeoutMs: 20_000 });
    expect(rows).toEqual([{ answer: 42 }]);
    expect(await serverPid()).not.toBe(pid);
  });

  it("is not fooled by a pid file whose number another program has now", async () => {
    await (await start()).stop();
    const pidFile = join(dataDir, "postgresql/data/postmaster.pid");
    const lines = [process.pid, join(dataDir, "postgresql/data"), 1, 5432, "", "127.0.0.1", "", "ready", ""];
    await writeFile(pidFile, lines.join("\n"));
    const { url } = await start();
    expect(await query(url, "SELECT 1 AS one")).toEqual([{ one: 1 }]);
  });

  it("refuses a port that is taken with one clear error", async () => {
    const other = await start();
    const port = Number(new URL(other.url).port);
    const dir = join(folder, "second");
    await expect(
      startEmbeddedPostgres({
        dataDir: dir,
        port,
        logger: silentLogger,
        clock: systemClock,
        random: systemRandom,
      }),
    ).rejects.toMatchObject({ code: "embedded_database_failed", message: expect.stringContaining("in use") });
  });

  it("refuses data of another major version of PostgreSQL and says so", async () => {
    await (await start()).stop();
    const versionFile = join(dataDir, "postgresql/data/PG_VERSION");
    const version = await readFile(versionFile, "utf8");
    await writeFile(versionFile, "12\n");
    await expect(start()).rejects.toMatchObject({ message: expect.stringContaining("is of PostgreSQL 12") });
    await writeFile(versionFile, version);
  });

  it.runIf(isRoot)(
    "as root, works below a folder that only root may enter, and finds its data again",
    async () => {
      await chmod(folder, 0o700);
      const first = await start();
      await query(first.url, "CREATE TABLE kept AS SELECT 42 AS answer");
      const [{ folder: place }] = (await query(
        first.url,
        "SELECT current_setting('data_directory') AS folder",
      )) as [{ folder: string }];
      expect(place).toMatch(/^\/var\/lib\/depositd\//);
      await first.stop();
      expect((await stat(folder)).mode & 0o777).toBe(0o700);
      expect(await readdir(dataDir)).toEqual(["postgresql-is-elsewhere.txt"]);

      const second = await start();
      expect(await query(second.url, "SELECT answer FROM kept")).toEqual([{ answer: 42 }]);
      await second.stop();
      await deleteEmbeddedPostgres(dataDir);
      await expect(stat(place)).rejects.toMatchObject({ code: "ENOENT" });
      expect(await readdir(dataDir)).toEqual([]);
    },
  );

  it.runIf(isRoot)("as root, refuses to begin anew when the place its note names is gone", async () => {
    await chmod(folder, 0o700);
    const first = await start();
    const [row] = await query(first.url, "SELECT current_setting('data_directory') AS folder");
    await first.stop();
    const place = dirname(dirname((row as { folder: string }).folder));
    await rename(place, `${place}.lost`);
    await expect(start()).rejects.toMatchObject({ message: expect.stringContaining("Restore it") });
    await rename(`${place}.lost`, place);
  });
});
