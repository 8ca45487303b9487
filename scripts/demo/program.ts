/** A program of the demo as a process of its own: its output by line, its last words, and how it ended. */
import { type ChildProcess, spawn } from "node:child_process";
import { createInterface } from "node:readline";
import type { Stagehand } from "./stagehand.ts";

export interface Program {
  readonly pid: number;
  /** What it printed last, oldest first. */
  lastLines(): readonly string[];
  /** Resolves when it is gone, with how: `exit code 1` or `SIGKILL`. */
  readonly ended: Promise<string>;
  kill(): void;
}

export interface ProgramOptions {
  readonly cwd: string;
  readonly env: NodeJS.ProcessEnv;
  /** A line on its standard output. */
  readonly onLine?: (line: string) => void;
}

const KEPT_LINES = 25;

/** Runs `node` with these arguments, until the stage is cleared at the latest. */
export function startProgram(
  stagehand: Stagehand,
  args: readonly string[],
  options: ProgramOptions,
): Program {
  const child = spawn(process.execPath, [...args], {
    cwd: options.cwd,
    env: options.env,
    stdio: ["ignore", "pipe", "pipe"],
    // A process group of its own: Ctrl-C reaches the demo alone, and everything is stopped in order.
    detached: true,
  });
  const lines: string[] = [];
  const keep = (line: string) => {
    lines.push(line);
    if (lines.length > KEPT_LINES) lines.shift();
  };
  readLines(child.stderr, keep);
  readLines(child.stdout, (line) => {
    keep(line);
    options.onLine?.(line);
  });
  const ended = endOf(child, keep);
  const pid = child.pid ?? 0;
  if (pid > 0) stagehand.watch(pid);
  void ended.then(() => stagehand.forget(pid));
  return { pid, lastLines: () => [...lines], ended, kill: () => child.kill("SIGKILL") };
}

function readLines(stream: NodeJS.ReadableStream, onLine: (line: string) => void): void {
  createInterface({ input: stream }).on("line", onLine);
}

/** "close" and not "exit": its last words are read by then. */
function endOf(child: ChildProcess, keep: (line: string) => void): Promise<string> {
  return new Promise((resolve) => {
    child.once("error", (error) => {
      keep(`could not be started: ${error.message}`);
      resolve("not started");
    });
    child.once("close", (code, signal) => resolve(signal ?? `exit code ${code}`));
  });
}

/** What a program said last is what a person needs to see. */
export class ProgramFailed extends Error {
  readonly lastLines: readonly string[];

  constructor(name: string, how: string, lastLines: readonly string[]) {
    super(`${name} ended with ${how}`);
    this.lastLines = lastLines;
  }
}

/** Ours, without what would lead a program away from the demo: a real database has no part in it. */
export function environment(): NodeJS.ProcessEnv {
  const own = Object.entries(process.env).filter(
    ([name]) => name !== "DATABASE_URL" && !name.startsWith("DEPOSITD_"),
  );
  return Object.fromEntries(own);
}
