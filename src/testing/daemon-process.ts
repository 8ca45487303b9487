/** One run of the built program (`dist/cli/main.js`) as a process of its own, with everything it said. */
import { type ChildProcess, spawn } from "node:child_process";
import { access } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { endWithThisProcess } from "./end-with-this-process.ts";
import { waitFor } from "./wait-for.ts";

/** A line of standard error. A line that is not JSON has its text as `msg`. */
export interface LogLine {
  readonly level?: string;
  readonly msg: string;
  readonly [field: string]: unknown;
}

export interface Exit {
  /** `null`: a signal ended it. */
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

export interface DaemonProcess {
  readonly pid: number;
  /** All it logged so far, oldest first. */
  readonly lines: readonly LogLine[];
  readonly stdout: () => string;
  /** Resolves when the process is gone and its output read to the end. */
  readonly exited: Promise<Exit>;
  isRunning(): boolean;
  signal(signal: NodeJS.Signals): void;
  /** Sends the signal and waits until the process is gone. */
  kill(signal: NodeJS.Signals): Promise<Exit>;
  /** The first line that fits, which may come later. @throws Error when the process ends without it */
  line(fits: (line: LogLine) => boolean, timeoutMs?: number): Promise<LogLine>;
}

export interface LaunchOptions {
  readonly cwd: string;
  readonly env?: Readonly<Record<string, string>>;
  /** Arguments for Node itself, such as `--cpu-prof`. */
  readonly nodeArgs?: readonly string[];
}

const PROGRAM = fileURLToPath(new URL("../../dist/cli/main.js", import.meta.url));

/** Nothing of the caller's environment: what a developer has set must not change what a test proves. */
const ENVIRONMENT = { PATH: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin" };

const running = new Set<DaemonProcess>();

/** @throws Error when the program was not built */
export async function launch(args: readonly string[], options: LaunchOptions): Promise<DaemonProcess> {
  await access(PROGRAM).catch(() => {
    throw new Error(`${PROGRAM} is missing: run npm run build`);
  });
  const child = spawn(process.execPath, [...(options.nodeArgs ?? []), PROGRAM, ...args], {
    cwd: options.cwd,
    env: { ...ENVIRONMENT, ...options.env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  endWithThisProcess(child);
  const launched = watch(child);
  running.add(launched);
  void launched.exited.then(() => running.delete(launched));
  return launched;
}

/** Kills what still runs, and answers how many did: a file that leaves a daemon behind has failed. */
export async function killLeakedProcesses(): Promise<number> {
  const leaked = [...running];
  await Promise.all(leaked.map((each) => each.kill("SIGKILL")));
  return leaked.length;
}

function watch(child: ChildProcess): DaemonProcess {
  const lines: LogLine[] = [];
  let printed = "";
  child.stdout?.setEncoding("utf8").on("data", (text: string) => {
    printed += text;
  });
  const collect = createLineSplitter((text) => lines.push(parseLine(text)));
  child.stderr?.setEncoding("utf8").on("data", collect);
  const exited = new Promise<Exit>((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (code, signal) => resolve({ code, signal }));
  });
  const isRunning = () => child.exitCode === null && child.signalCode === null;
  return {
    pid: child.pid ?? 0,
    lines,
    stdout: () => printed,
    exited,
    isRunning,
    signal: (signal) => {
      child.kill(signal);
    },
    kill: (signal) => {
      child.kill(signal);
      return exited;
    },
    line: async (fits, timeoutMs = 60_000) => {
      const found = await waitFor(() => lines.find(fits) ?? (isRunning() ? undefined : "gone"), {
        timeoutMs,
        what: "a line in the daemon's log",
      });
      if (found === "gone") throw new Error(describeEnd(child, lines));
      return found;
    },
  };
}

function describeEnd(child: ChildProcess, lines: readonly LogLine[]): string {
  const said = lines.slice(-5).map((line) => JSON.stringify(line));
  return `The daemon ended with ${child.exitCode ?? child.signalCode}:\n${said.join("\n")}`;
}

function createLineSplitter(onLine: (text: string) => void): (chunk: string) => void {
  let rest = "";
  return (chunk) => {
    const parts = (rest + chunk).split("\n");
    rest = parts.pop() ?? "";
    for (const part of parts) if (part.trim() !== "") onLine(part);
  };
}

function parseLine(text: string): LogLine {
  try {
    const parsed: unknown = JSON.parse(text);
    if (typeof parsed === "object" && parsed !== null && "msg" in parsed) return parsed as LogLine;
  } catch {
    // Not every line is ours: Node itself speaks plain text.
  }
  return { msg: text };
}
