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
  const child = spawn(findAnvilBinary(), ["--port", "0", ...args], { stdio: ["ignore", "pipe", "pipe"] });
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
  try {
    return await new Promise<number>((resolve, reject) => {
      const fail = (what: string) => {
        child.kill("SIGKILL");
        reject(new Error(`anvil ${what}: ${printed.slice(-2000)}`));
      };
      child.once("error", (error) => fail(`could not be started (${error.message})`));
      child.once("exit", (code, signal) => fail(`ended with ${code ?? signal}`));
      child.stderr?.on("data", (chunk: Buffer) => {
        if (printed.length < 10_000) printed += chunk.toString();
      });
      // It logs every request for as long as it lives: the pipe is drained to its end, or it would block.
      child.stdout?.on("data", (chunk: Buffer) => {
        if (printed.length < 10_000) printed += chunk.toString();
        const port = LISTENING.exec(printed)?.[1];
        if (port !== undefined) resolve(Number(port));
      });
      void systemClock.sleep(START_TIMEOUT_MS, timeout.signal).then(() => {
        if (!timeout.signal.aborted) fail(`did not listen within ${START_TIMEOUT_MS} ms`);
      });
    });
  } finally {
    timeout.abort();
    printed = printed.slice(0, 10_000).padEnd(10_000); // no more is kept, none is searched again
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
