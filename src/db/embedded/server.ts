/** Starts and stops the server of a cluster, and tells what it is doing now. */
import { readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { totalmem } from "node:os";
import { dirname, join } from "node:path";
import type { Clock } from "../../runtime/clock.ts";
import type { Logger } from "../../runtime/logger.ts";
import type { Binaries } from "./binaries.ts";
import { type Cluster, isProcessAlive } from "./cluster.ts";
import { runProgram, type ServerAccount } from "./run-program.ts";

export type ServerState =
  | { readonly kind: "stopped" }
  | { readonly kind: "changing" }
  | { readonly kind: "ready"; readonly pid: number; readonly port: number };

export interface ServerContext {
  readonly cluster: Cluster;
  readonly binaries: Binaries;
  readonly account: ServerAccount | undefined;
  readonly settings: Readonly<Record<string, string>>;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** Every one of them is safe: nothing here trades durability for speed. A caller may override them. */
const SETTINGS: Readonly<Record<string, string>> = {
  listen_addresses: "127.0.0.1",
  unix_socket_directories: "",
  max_connections: "100",
  shared_buffers: sharedBuffers(),
  // A busy hour writes gigabytes of log. Room for it means fewer checkpoints, after each of which every page that is
  // touched goes into the log whole; and segments that are kept need not be made anew.
  max_wal_size: "2GB",
  min_wal_size: "256MB",
  fsync: "on",
  synchronous_commit: "on",
  timezone: "UTC",
  log_timezone: "UTC",
  log_checkpoints: "off",
  // Small statements only: compiling them takes longer than running them.
  jit: "off",
};

/**
 * A sixteenth of the memory that we may use, between 128 MB and 1 GB: what is written to at random (the indexes over
 * deposits, entries and events) fits in it far longer. PostgreSQL takes memory only as it fills it.
 */
function sharedBuffers(): string {
  const limit = process.constrainedMemory();
  const bytes = limit > 0 ? Math.min(limit, totalmem()) : totalmem();
  return `${Math.round(Math.min(1_024, Math.max(128, bytes / 16 / 2 ** 20)))}MB`;
}

const PID_FILE = "postmaster.pid";
const STOP_TIMEOUT_MS = 60_000;
const LOG_FILE_LIMIT_BYTES = 10_000_000;

/** Reads `postmaster.pid`: pid, data folder, start time, port, socket folder, address, memory, state; a line each. */
export async function readServerState(dataFolder: string): Promise<ServerState> {
  const lines = await readPidFile(dataFolder);
  if (lines === undefined) return { kind: "stopped" };
  const pid = Math.abs(Number(lines[0]));
  if (!(pid > 0)) return { kind: "changing" };
  if (!isProcessAlive(pid)) return { kind: "stopped" };
  if (!(await isServerOf(pid, dataFolder))) {
    // Another program has the number now, as happens after a restart of a container, or nobody has collected the
    // dead server yet. PostgreSQL would refuse to start for as long as that lasts.
    await removePidFile(dataFolder, pid);
    return { kind: "changing" };
  }
  const port = Number(lines[3]);
  return lines[7]?.trim() === "ready" && port > 0 ? { kind: "ready", pid, port } : { kind: "changing" };
}

/** Moved before it is deleted: another process may have started a server in the meantime, whose file must stay. */
async function removePidFile(dataFolder: string, pid: number): Promise<void> {
  const file = join(dataFolder, PID_FILE);
  const aside = `${file}.stale-${process.pid}`;
  try {
    await rename(file, aside);
    const isTheSame = (await readFile(aside, "utf8")).split("\n")[0] === String(pid);
    await (isTheSame ? rm(aside) : rename(aside, file));
  } catch (rawError) {
    if ((rawError as NodeJS.ErrnoException).code !== "ENOENT") throw rawError;
  }
}

async function readPid(dataFolder: string): Promise<number> {
  return Math.abs(Number((await readPidFile(dataFolder))?.[0]));
}

async function readPidFile(dataFolder: string): Promise<string[] | undefined> {
  const text = await readFile(join(dataFolder, PID_FILE), "utf8").catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return undefined;
    throw error;
  });
  return text?.split("\n");
}

/**
 * The server has its data folder on its command line, which everyone may read (its working folder may be closed
 * even to root, in a container), and a dead one that nobody has collected yet has an empty one. Where the system
 * does not tell at all, a living process is taken for the server.
 */
async function isServerOf(pid: number, dataFolder: string): Promise<boolean> {
  const commandLine = await readFile(`/proc/${pid}/cmdline`, "utf8").catch(() => undefined);
  if (commandLine === undefined) return isProcessAlive(pid);
  return commandLine.split("\0").includes(dataFolder);
}

/** Starts the server and waits until it answers, or a minute. Answers why it did not, if it did not. */
export async function startServer(context: ServerContext, port: number): Promise<string | undefined> {
  const { cluster } = context;
  await rotateLog(cluster.logFile);
  // Removed first: it may belong to another user, when root has started this user's server.
  await rm(cluster.portFile, { force: true });
  await writeFile(cluster.portFile, `${port}\n`);
  const settings = { ...SETTINGS, ...context.settings, port: String(port) };
  const options = Object.entries(settings).map(([name, value]) => `-c ${name}=${quote(value)}`);
  const result = await runProgram(
    context.binaries.pgCtl,
    [
      "start",
      "-w",
      "-t",
      "60",
      "-s",
      "-D",
      cluster.dataFolder,
      "-l",
      cluster.logFile,
      "-o",
      options.join(" "),
    ],
    context.account,
  );
  if (result.exitCode === 0) return undefined;
  return `${result.output}\n${await readLogTail(cluster.logFile)}`.trim();
}

/**
 * Asks the server to end every session and stop (PostgreSQL's "fast" shutdown), and waits for it. Answers why it
 * did not, if it did not. Not `pg_ctl stop`: that one watches the pid file, and when the next server is started
 * the moment this one is gone, it waits a minute for the wrong one.
 */
export async function stopServer(context: ServerContext): Promise<string | undefined> {
  const { dataFolder } = context.cluster;
  const state = await readServerState(dataFolder);
  if (state.kind !== "ready") return undefined;
  process.kill(state.pid, "SIGINT");
  const until = context.clock.monotonic() + STOP_TIMEOUT_MS;
  while ((await readPid(dataFolder)) === state.pid) {
    if (!(await isServerOf(state.pid, dataFolder))) return undefined;
    if (context.clock.monotonic() > until)
      return `it still runs after ${STOP_TIMEOUT_MS} ms (pid ${state.pid})`;
    await context.clock.sleep(10);
  }
  return undefined;
}

/** pg_ctl hands these to a shell. */
function quote(value: string): string {
  if (!/^[\w.,:/ -]*$/.test(value))
    throw new Error(`A PostgreSQL setting has a character that is not allowed: ${value}`);
  return `'${value}'`;
}

async function rotateLog(logFile: string): Promise<void> {
  const found = await stat(logFile).catch(() => undefined);
  if (found !== undefined && found.size > LOG_FILE_LIMIT_BYTES) await rename(logFile, `${logFile}.1`);
}

async function readLogTail(logFile: string): Promise<string> {
  const text = await readFile(logFile, "utf8").catch(() => "");
  return [
    `Last lines of ${join(dirname(logFile), "server.log")}:`,
    ...text.trim().split("\n").slice(-5),
  ].join("\n");
}
