/** Where callbacks go: a process of its own, so that it does not share this one's time. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

export interface KeptCallback {
  readonly depositId: string;
  readonly status: string;
  readonly blockNumber: number;
  /** Milliseconds since 1970, with fractions. */
  readonly atMs: number;
}

export interface BenchSink {
  readonly url: string;
  /** What came to `/kept` since the last time. */
  takeKept(): Promise<KeptCallback[]>;
  stop(): Promise<void>;
}

const PROGRAM = fileURLToPath(new URL("./sink-process.ts", import.meta.url));

export async function startBenchSink(): Promise<BenchSink> {
  const child = spawn(process.execPath, ["--import", "tsx", PROGRAM], { stdio: ["pipe", "pipe", "inherit"] });
  const [url] = (await once(createInterface(child.stdout), "line")) as [string];
  return {
    url,
    takeKept: async () => (await (await fetch(url)).json()) as KeptCallback[],
    stop: async () => {
      const gone = once(child, "exit");
      child.stdin.end();
      await gone;
    },
  };
}
