/**
 * The whole daemon as its users run it: the built program in a process of its own, configured by a file, used
 * over HTTP and the command line. It can be killed at any moment and started again on the same config.
 */
import { chmod, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { deleteEmbeddedPostgres, startEmbeddedPostgres } from "../db/embedded-postgres.ts";
import { systemClock } from "../runtime/clock.ts";
import { silentLogger } from "../runtime/logger.ts";
import { systemRandom } from "../runtime/random.ts";
import { createDaemonApi, type DaemonApi } from "./daemon-api.ts";
import { type DaemonConfig, toYaml } from "./daemon-config.ts";
import { type DaemonProcess, type Exit, type LaunchOptions, type LogLine, launch } from "./daemon-process.ts";
import { waitFor } from "./wait-for.ts";

export interface Daemon {
  readonly folder: string;
  readonly configFile: string;
  readonly api: DaemonApi;
  /** Starts it, and waits until `/readyz` says that every part is ready. */
  start(options?: Partial<LaunchOptions>): Promise<void>;
  /** Starts it and waits for nothing. */
  launch(options?: Partial<LaunchOptions>, args?: readonly string[]): Promise<DaemonProcess>;
  /** The run that was started last. */
  process(): DaemonProcess;
  /** Waits until the run that was started last listens, and answers its URL. */
  url(): Promise<string>;
  ready(timeoutMs?: number): Promise<void>;
  readyz(): Promise<{ status: number; body: unknown }>;
  kill(signal: NodeJS.Signals): Promise<Exit>;
  /** Runs another command of the program on the same config. */
  command(...args: readonly string[]): Promise<CommandResult>;
  createMerchant(name: string): Promise<{ merchantId: string; apiKey: string }>;
  /** The key that `api` sends from now on. */
  useKey(apiKey: string): void;
  /** Writes the config anew; it counts from the next start, or at once for what the daemon reloads. */
  configure(config: DaemonConfig): Promise<void>;
  /** What every run logged. */
  log(): readonly LogLine[];
  /** Stops it if it runs, and deletes its folder. */
  dispose(): Promise<void>;
}

export interface CommandResult {
  readonly exitCode: number | null;
  readonly stdout: string;
  readonly stderr: readonly LogLine[];
}

const READY_TIMEOUT_MS = 60_000;

/** Of tests only: 32 bytes. Endpoint secrets of a daemon on a database that is not embedded are sealed under it. */
export const DAEMON_SECRET_KEY = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

export async function createDaemon(config: DaemonConfig): Promise<Daemon> {
  const folder = await mkdtemp(join(tmpdir(), "depositd-daemon-"));
  // The embedded PostgreSQL does not run as root: its own user must be able to pass.
  await chmod(folder, 0o755);
  const configFile = join(folder, "depositd.yaml");
  const dataDir = join(folder, "data");
  const isEmbedded = config.databaseUrl === null;
  const configure = (changed: DaemonConfig) => writeFile(configFile, toYaml(changed, dataDir));
  await configure(config);

  const runs: DaemonProcess[] = [];
  let listening: string | undefined;
  let key: string | undefined;
  // With the embedded database the key file is part of what is tested.
  const env: Record<string, string> = isEmbedded ? {} : { DEPOSITD_SECRET_KEY: DAEMON_SECRET_KEY };
  const run = (args: readonly string[], options: Partial<LaunchOptions> = {}) =>
    launch([...args, "--config", configFile], { cwd: folder, ...options, env: { ...env, ...options.env } });

  const current = () => {
    const last = runs.at(-1);
    if (last === undefined) throw new Error("The daemon was never started");
    return last;
  };
  const url = async () => {
    const line = await current().line((each) => listeningUrl(each) !== undefined, READY_TIMEOUT_MS);
    listening = listeningUrl(line);
    return listening ?? "";
  };
  const api = createDaemonApi(
    () => {
      if (listening === undefined) throw new Error("The daemon does not listen");
      return listening;
    },
    () => key,
  );
  const launchDaemon = async (options?: Partial<LaunchOptions>, args: readonly string[] = []) => {
    listening = undefined;
    const launched = await run(["start", ...args], options);
    runs.push(launched);
    return launched;
  };
  const ready = async (timeoutMs = READY_TIMEOUT_MS) => {
    await url();
    await waitUntilReady(api, current(), timeoutMs);
  };
  const kill = (signal: NodeJS.Signals) => {
    listening = undefined;
    return current().kill(signal);
  };
  const command = async (...args: readonly string[]): Promise<CommandResult> => {
    const launched = await run(args);
    const { code } = await launched.exited;
    return { exitCode: code, stdout: launched.stdout(), stderr: launched.lines };
  };

  return {
    folder,
    configFile,
    api,
    start: async (options) => {
      await launchDaemon(options);
      await ready();
    },
    launch: launchDaemon,
    process: current,
    url,
    ready,
    readyz: () => api.call("GET", "/readyz"),
    kill,
    command,
    createMerchant: async (name) => {
      const result = await command("merchant", "create", name, "--json");
      if (result.exitCode !== 0) throw new Error(`merchant create failed: ${JSON.stringify(result)}`);
      return JSON.parse(result.stdout) as { merchantId: string; apiKey: string };
    },
    useKey: (apiKey) => {
      key = apiKey;
    },
    configure,
    log: () => runs.flatMap((each) => each.lines),
    dispose: async () => {
      if (runs.at(-1)?.isRunning() === true) await kill("SIGTERM");
      if (isEmbedded) await deleteDatabase(dataDir);
      await rm(folder, { recursive: true, force: true });
    },
  };
}

/** "Listening", with the address in a field. */
function listeningUrl(line: LogLine): string | undefined {
  return line.msg === "Listening" && typeof line["url"] === "string" ? line["url"] : undefined;
}

async function waitUntilReady(api: DaemonApi, process: DaemonProcess, timeoutMs: number): Promise<void> {
  let last: unknown;
  const isReady = async () => {
    if (!process.isRunning()) return "gone";
    const answer = await api.call("GET", "/readyz");
    last = answer.body;
    return answer.status === 200 ? "ready" : undefined;
  };
  const found = await waitFor(isReady, { timeoutMs, what: "/readyz to say ready" }).catch(
    (cause: unknown) => {
      throw new Error(`The daemon is not ready: ${JSON.stringify(last)}`, { cause });
    },
  );
  if (found === "gone") {
    const said = process.lines.slice(-5).map((line) => JSON.stringify(line));
    throw new Error(`The daemon ended instead of getting ready:\n${said.join("\n")}`);
  }
}

/** A daemon that was killed leaves its server running: it is joined, left as the last one, and deleted. */
async function deleteDatabase(dataDir: string): Promise<void> {
  const server = await startEmbeddedPostgres({
    dataDir,
    logger: silentLogger,
    clock: systemClock,
    random: systemRandom,
  });
  await server.stop();
  await deleteEmbeddedPostgres(dataDir);
}
