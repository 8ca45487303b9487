/** Runs PostgreSQL's own programs, as another user where that is needed. */
import { spawn } from "node:child_process";

/** The operating system's user a program runs as. */
export interface ServerAccount {
  readonly uid: number;
  readonly gid: number;
}

export interface ProgramResult {
  /** `null`: it could not be started, or a signal ended it. */
  readonly exitCode: number | null;
  /** What it printed on both outputs. */
  readonly output: string;
}

/**
 * Runs a program to its end. Never rejects: a program that cannot be started has the exit code `null`.
 *
 * It gets a session of its own, so that Ctrl-C in a terminal does not reach it, the root folder as its working
 * directory (the caller's may be closed to its account), and none of the caller's environment: PGDATA, PGPORT
 * or an unknown LC_ALL would change what it does, and secrets have no business there.
 */
export function runProgram(
  file: string,
  args: readonly string[],
  account: ServerAccount | undefined,
): Promise<ProgramResult> {
  return new Promise((resolve) => {
    const child = spawn(file, args, {
      cwd: "/",
      detached: true,
      env: { LC_ALL: "C", PATH: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin" },
      stdio: ["ignore", "pipe", "pipe"],
      ...(account === undefined ? {} : { uid: account.uid, gid: account.gid }),
    });
    const chunks: Buffer[] = [];
    child.stdout.on("data", (chunk: Buffer) => chunks.push(chunk));
    child.stderr.on("data", (chunk: Buffer) => chunks.push(chunk));
    child.on("error", (error) => resolve({ exitCode: null, output: error.message }));
    child.on("close", (exitCode) =>
      resolve({ exitCode, output: Buffer.concat(chunks).toString("utf8").trim() }),
    );
  });
}
