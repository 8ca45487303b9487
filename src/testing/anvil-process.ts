/** One anvil process: started on a free port, answering, and stopped for certain. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { systemClock } from "../runtime/clock.ts";
import { findAnvilBinary } from "./anvil-binary.ts";

export interface AnvilProcess {
  readonly port: number;
  readonly pid: number;
  /** Resolves when the process is gone. May be called twice. */
  stop(): Promise<void>;
}

const START_TIMEOUT_MS = 30_000;
const STOP_TIMEOUT_MS = 5_000;
const LISTENING = /Listening on [^\s:]+:(\d+)/;

/** @throws {Error} with what anvil printed, when it ends or stays silent instead of listening */
export async function startAnvilProcess(args: readonly string[]): Promise<AnvilProcess> {
  const child = spawn(findAnvilBinary(), [...args], { stdio: ["ignore", "pipe", "pipe"] });
  // A test runner that is killed or forgets to stop must not leave a node behind.
  const kill = () => child.kill("SIGKILL");
  process.once("exit", kill);
  child.once("exit", () => process.off("exit", kill));
  const port = await listeningPort(child);
  return { port, pid: child.pid ?? 0, stop: () => stop(child) };
}

async function listeningPort(child: ChildProcess): Promise<number> {
  const timeout = new AbortController();
  let printed = "";
  const collect = (chunk: Buffer) => {
    printed += chunk.toString();
  };
  try {
    return await new Promise<number>((resolve, reject) => {
      const fail = (what: string) => {
        child.kill("SIGKILL");
        reject(new Error(`anvil ${what}: ${printed.slice(-2000)}`));
      };
      child.once("error", (error) => fail(`could not be started (${error.message})`));
      child.once("exit", (code, signal) => fail(`ended with ${code ?? signal}`));
      child.stderr?.on("data", collect);
      child.stdout?.on("data", collect).on("data", () => {
        const port = LISTENING.exec(printed)?.[1];
        if (port !== undefined) resolve(Number(port));
      });
      void systemClock.sleep(START_TIMEOUT_MS, timeout.signal).then(() => {
        if (!timeout.signal.aborted) fail(`did not listen within ${START_TIMEOUT_MS} ms`);
      });
    });
  } finally {
    timeout.abort();
    // It logs every request for as long as it lives: the pipes are drained to their end, or it would block.
    for (const pipe of [child.stdout, child.stderr]) pipe?.removeAllListeners("data").resume();
  }
}

async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = once(child, "exit");
  const timeout = new AbortController();
  child.kill("SIGTERM");
  void systemClock.sleep(STOP_TIMEOUT_MS, timeout.signal).then(() => {
    if (!timeout.signal.aborted) child.kill("SIGKILL");
  });
  await gone;
  timeout.abort();
}
