/** Starts and stops the server of a cluster, and tells what it is doing now. */
import { readFile, readlink, realpath, rename, rm, stat, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { Logger } from "../../runtime/logger.ts";
import type { Binaries } from "./binaries.ts";
import { type Cluster, isProcessAlive } from "./cluster.ts";
import { runProgram, type ServerAccount } from "./run-program.ts";

export type ServerState =
  | { readonly kind: "stopped" }
  | { readonly kind: "changing" }
  | { readonly kind: "ready"; readonly port: number };

export interface ServerContext {
  readonly cluster: Cluster;
  readonly binaries: Binaries;
  readonly account: ServerAccount | undefined;
  readonly settings: Readonly<Record<string, string>>;
  readonly logger: Logger;
}

/** Every one of them is safe: nothing here trades durability for speed. A caller may override them. */
const SETTINGS: Readonly<Record<string, string>> = {
  listen_addresses: "127.0.0.1",
  unix_socket_directories: "",
  max_connections: "100",
  shared_buffers: "128MB",
  fsync: "on",
  synchronous_commit: "on",
  timezone: "UTC",
  log_timezone: "UTC",
  log_checkpoints: "off",
  // Small statements only: compiling them takes longer than running them.
  jit: "off",
};

const LOG_FILE_LIMIT_BYTES = 10_000_000;

/** Reads `postmaster.pid`: pid, data folder, start time, port, socket folder, address, memory, state; a line each. */
export async function readServerState(dataFolder: string): Promise<ServerState> {
  const file = join(dataFolder, "postmaster.pid");
  const text = await readFile(file, "utf8").catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return undefined;
    throw error;
  });
  if (text === undefined) return { kind: "stopped" };
  const lines = text.split("\n");
  const pid = Math.abs(Number(lines[0]));
  if (!(pid > 0)) return { kind: "changing" };
  if (!isProcessAlive(pid)) return { kind: "stopped" };
  if (!(await isServerOf(pid, dataFolder))) {
    // Another program has the number now, as happens after a restart of a container. PostgreSQL would refuse to
    // start for as long as that program lives.
    await rm(file, { force: true });
    return { kind: "stopped" };
  }
  const port = Number(lines[3]);
  return lines[7]?.trim() === "ready" && port > 0 ? { kind: "ready", port } : { kind: "changing" };
}

/** A server works in its data folder. Where the system does not tell (no /proc), a living process is taken for it. */
async function isServerOf(pid: number, dataFolder: string): Promise<boolean> {
  try {
    return (await readlink(`/proc/${pid}/cwd`)) === (await realpath(dataFolder));
  } catch (rawError) {
    if ((rawError as NodeJS.ErrnoException).code === "EACCES") return false;
    return process.platform !== "linux" && isProcessAlive(pid);
  }
}

/** Starts the server and waits until it answers, or a minute. Answers why it did not, if it did not. */
export async function startServer(context: ServerContext, port: number): Promise<string | undefined> {
  const { cluster } = context;
  await rotateLog(cluster.logFile);
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

/** Asks the server to end every session and stop, and waits for it. Answers why it did not, if it did not. */
export async function stopServer(context: ServerContext): Promise<string | undefined> {
  const result = await runProgram(
    context.binaries.pgCtl,
    ["stop", "-w", "-t", "60", "-s", "-m", "fast", "-D", context.cluster.dataFolder],
    context.account,
  );
  return result.exitCode === 0 ? undefined : result.output;
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
