/** One process of a chain's node: started on a free port, answering, and stopped for certain. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { systemClock } from "../runtime/clock.ts";
import { endWithThisProcess } from "./end-with-this-process.ts";

export interface NodeProgram {
  readonly command: string;
  readonly args: readonly string[];
  readonly cwd?: string;
  readonly env?: NodeJS.ProcessEnv;
  /** Finds the port in what the program prints. */
  readonly listening: RegExp;
}

export interface NodeProcess {
  readonly port: number;
  readonly pid: number;
  /** Resolves when the process is gone. May be called twice. */
  stop(): Promise<void>;
}

const START_TIMEOUT_MS = 60_000;
const STOP_TIMEOUT_MS = 5_000;

/** @throws {Error} with what the program printed, when it ends or stays silent instead of listening */
export async function startNodeProcess(name: string, program: NodeProgram): Promise<NodeProcess> {
  const child = spawn(program.command, [...program.args], {
    stdio: ["ignore", "pipe", "pipe"],
    ...(program.cwd === undefined ? {} : { cwd: program.cwd }),
    ...(program.env === undefined ? {} : { env: program.env }),
  });
  endWithThisProcess(child);
  const port = await listeningPort(name, child, program.listening);
  return { port, pid: child.pid ?? 0, stop: () => stop(child) };
}

async function listeningPort(name: string, child: ChildProcess, listening: RegExp): Promise<number> {
  const timeout = new AbortController();
  let printed = "";
  const collect = (chunk: Buffer) => {
    printed += chunk.toString();
  };
  try {
    return await new Promise<number>((resolve, reject) => {
      const fail = (what: string) => {
        child.kill("SIGKILL");
        reject(new Error(`${name} ${what}: ${printed.slice(-2000)}`));
      };
      child.once("error", (error) => fail(`could not be started (${error.message})`));
      child.once("exit", (code, signal) => fail(`ended with ${code ?? signal}`));
      child.stderr?.on("data", collect);
      child.stdout?.on("data", collect).on("data", () => {
        const port = listening.exec(printed)?.[1];
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
