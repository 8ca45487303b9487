/** Sets the stage: a chain, the daemon that follows it, a merchant with users, addresses and a callback endpoint. */
import { chmod, mkdtemp, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { EVENT_TYPES } from "../../src/core/event.ts";
import { type Anvil, startAnvil } from "../../src/testing/anvil.ts";
import { type Api, createApi } from "./api.ts";
import { type Cast, gatherCast, SLOTS_IN_AN_EPOCH, USERS } from "./cast.ts";
import { type Daemon, DEPOSITD, startDaemon } from "./daemon.ts";
import { createDemoChain, type DemoChain } from "./demo-chain.ts";
import { demoConfig } from "./demo-config.ts";
import { findFreePort } from "./free-port.ts";
import { type Merchant, startMerchant } from "./merchant.ts";
import type { Narrator } from "./narrator.ts";
import { environment, ProgramFailed, startProgram } from "./program.ts";
import type { Stagehand } from "./stagehand.ts";

export interface Stage {
  readonly narrator: Narrator;
  readonly cast: Cast;
  readonly anvil: Anvil;
  readonly chain: DemoChain;
  readonly daemon: Daemon;
  readonly api: Api;
  readonly apiKey: string;
  readonly configFile: string;
  readonly merchant: Merchant;
}

export interface StageTools {
  /** The demo's own, for everything it writes. */
  readonly folder: string;
  readonly stagehand: Stagehand;
  readonly narrator: Narrator;
}

export async function makeFolder(): Promise<{ folder: string; dataDir: string }> {
  const folder = await mkdtemp(join(tmpdir(), "depositd-demo-"));
  // PostgreSQL does not run as root: if we are, its own user must be able to pass.
  await chmod(folder, 0o755);
  return { folder, dataDir: join(folder, "data") };
}

export async function setStage(tools: StageTools, dataDir: string): Promise<Stage> {
  const { folder, stagehand, narrator } = tools;
  const anvil = await startAnvil({ mining: "manual", slotsInAnEpoch: SLOTS_IN_AN_EPOCH });
  stagehand.watch(anvil.pid);
  const cast = await gatherCast(anvil);
  narrator.act("chain", `anvil, a real EVM node, at ${anvil.url}`);

  const port = await findFreePort();
  const configFile = join(folder, "depositd.yaml");
  await writeFile(configFile, demoConfig(anvil, cast, dataDir, port));
  const daemon = await startDaemon({ ...tools, configFile, url: `http://127.0.0.1:${port}` });
  const queue = (process.env["REDIS_URL"] ?? "") === "" ? "BullMQ on the same" : "BullMQ on Redis";
  narrator.act(
    "depositd",
    `pid ${daemon.pid()} follows it; embedded PostgreSQL, ${queue}; API at ${daemon.url}`,
  );

  const { merchantId, apiKey } = await createMerchant(tools, configFile);
  const api = createApi(daemon.url, apiKey);
  for (const user of USERS) await api.assignAddress(user, cast.addressOf[user]);
  const merchant = await startMerchant(tools, (url) => api.createEndpoint(url, EVENT_TYPES));
  narrator.act(
    "merchant",
    `${merchantId} has ${USERS.length} users with an address each, and takes callbacks at ${merchant.url}`,
  );
  return {
    narrator,
    cast,
    anvil,
    chain: createDemoChain(anvil, cast, narrator),
    daemon,
    api,
    apiKey,
    configFile,
    merchant,
  };
}

/** With the command an operator uses. */
async function createMerchant(
  { folder, stagehand }: StageTools,
  configFile: string,
): Promise<{ merchantId: string; apiKey: string }> {
  const printed: string[] = [];
  const args = [DEPOSITD, "merchant", "create", "demo", "--json", "--config", configFile];
  const command = startProgram(stagehand, args, {
    cwd: folder,
    env: environment(),
    onLine: (line) => printed.push(line),
  });
  const how = await command.ended;
  if (how !== "exit code 0") {
    throw new ProgramFailed("depositd merchant create", how, command.lastLines());
  }
  return JSON.parse(printed.join("\n")) as { merchantId: string; apiKey: string };
}
