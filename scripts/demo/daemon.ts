/**
 * The daemon as a process of its own, kept up as a service manager keeps it up: whenever it is gone, whoever
 * ended it, it is started again.
 */
import { fileURLToPath } from "node:url";
import { systemClock } from "../../src/runtime/clock.ts";
import { waitFor } from "../../src/testing/wait-for.ts";
import type { Narrator } from "./narrator.ts";
import { environment, type Program, ProgramFailed, startProgram } from "./program.ts";
import type { Stagehand } from "./stagehand.ts";

export interface Daemon {
  readonly url: string;
  pid(): number;
  /** SIGKILL: no chance to finish anything. The service manager notices and starts it again. */
  kill(): void;
  /** Resolves when it answers that it is ready. */
  ready(): Promise<void>;
  /** Rejects when it cannot be kept up; else it stays pending. */
  readonly broken: Promise<never>;
}

export interface DaemonOptions {
  readonly stagehand: Stagehand;
  readonly narrator: Narrator;
  readonly folder: string;
  readonly configFile: string;
  readonly url: string;
}

/** What `npm run build` made, and `npx depositd` runs. */
export const DEPOSITD = fileURLToPath(new URL("../../dist/cli/main.js", import.meta.url));

const READY_TIMEOUT_MS = 60_000;
/** A daemon that ends sooner than this was not able to start. */
const SHORT_LIFE_MS = 3_000;
const MAX_SHORT_LIVES = 5;

/** Resolves when it is ready for the first time. @throws {ProgramFailed} when it ends before that */
export async function startDaemon(options: DaemonOptions): Promise<Daemon> {
  const { narrator, stagehand, folder, configFile, url } = options;
  let wasReady = false;
  let shortLives = 0;
  let breakDown: (error: Error) => void = () => undefined;
  const broken = new Promise<never>((_, reject) => {
    breakDown = reject;
  });
  // Those who wait for something hear of it; between two waits nobody does.
  broken.catch(() => undefined);

  const start = (): Program => {
    const startedAt = systemClock.monotonic();
    const started = startProgram(stagehand, [DEPOSITD, "start", "--config", configFile], {
      cwd: folder,
      env: environment(),
    });
    void started.ended.then((how) => {
      if (stagehand.isClearing()) return;
      shortLives = systemClock.monotonic() - startedAt < SHORT_LIFE_MS ? shortLives + 1 : 0;
      const cannotStart = !wasReady && how.startsWith("exit code");
      if (cannotStart || shortLives >= MAX_SHORT_LIVES) {
        return breakDown(new ProgramFailed("depositd", how, started.lastLines()));
      }
      narrator.act(
        "depositd",
        `pid ${started.pid} is gone (${how}); started again, as a service manager does`,
      );
      program = start();
    });
    return started;
  };
  let program = start();

  const isReady = async () => (await fetch(`${url}/readyz`).catch(() => undefined))?.status === 200;
  const ready = async () => {
    const answer = waitFor(isReady, { timeoutMs: READY_TIMEOUT_MS, what: "the daemon to be ready" });
    await Promise.race([broken, answer]);
  };
  await ready();
  wasReady = true;
  return {
    url,
    pid: () => program.pid,
    kill: () => {
      narrator.act("demo", `kill -9 ${program.pid}`);
      program.kill();
    },
    ready,
    broken,
  };
}
