/**
 * Clears the stage, however the demo ends: at the end of the story, after an error, at Ctrl-C, and also when the
 * demo itself is killed with SIGKILL. It is a process of its own (`stagehand-process.ts`) that is told over a
 * pipe what runs; when the pipe ends, it stops all of it and deletes the demo's folder.
 */
import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";

export interface Stagehand {
  /** A process to be stopped at the end; the last one told of is stopped first. Too late: it is killed at once. */
  watch(pid: number): void;
  /** It has ended by itself. */
  forget(pid: number): void;
  /** True from `clear` on: nothing is to be started any more. */
  isClearing(): boolean;
  /** Resolves when nothing is left. May be called again. */
  clear(): Promise<void>;
}

const PROGRAM = fileURLToPath(new URL("./stagehand-process.ts", import.meta.url));

/**
 * @param folder the demo's own folder, deleted with all that is in it
 * @param dataDir the daemon's, within that folder; its database may be elsewhere
 */
export function callStagehand(folder: string, dataDir: string): Stagehand {
  const child = spawn(process.execPath, ["--import", import.meta.resolve("tsx"), PROGRAM, folder, dataDir], {
    stdio: ["pipe", "inherit", "inherit"],
    // A process group of its own: a signal to the demo's group is not meant for it.
    detached: true,
  });
  const gone = new Promise<void>((resolve) => {
    child.once("exit", () => resolve());
    child.once("error", () => resolve());
  });
  // It can only be gone before its time if somebody killed it. Then nobody clears up, but the story goes on.
  child.stdin.on("error", () => undefined);
  let isClearing = false;
  const say = (line: string) => {
    if (child.stdin.writable) child.stdin.write(`${line}\n`);
  };
  return {
    watch: (pid) => {
      if (isClearing) process.kill(pid, "SIGKILL");
      else say(`watch ${pid}`);
    },
    forget: (pid) => say(`forget ${pid}`),
    isClearing: () => isClearing,
    clear: async () => {
      isClearing = true;
      child.stdin.end();
      await gone;
    },
  };
}
