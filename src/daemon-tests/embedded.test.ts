/** The embedded default: no database and no Redis configured, everything in the daemon's own folder. */
import { readFile } from "node:fs/promises";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Anvil, startAnvil } from "../testing/anvil.ts";
import { createDaemon, type Daemon } from "../testing/daemon.ts";
import { chainOf } from "../testing/daemon-config.ts";
import { addressOf } from "../testing/factory.ts";
import { waitFor } from "../testing/wait-for.ts";
import { type Receiver, startReceiver } from "./receiver.ts";
import "./rig.ts";

const ETHER = 10n ** 18n;
const alice = addressOf("alice");

describe("a daemon with the embedded database", () => {
  let anvil: Anvil;
  let daemon: Daemon;
  let receiver: Receiver;
  beforeAll(async () => {
    [anvil, receiver] = await Promise.all([startAnvil({ mining: "manual" }), startReceiver()]);
    daemon = await createDaemon({ databaseUrl: null, redisUrl: null, chains: [chainOf(anvil)] });
  });
  afterAll(async () => {
    await daemon.dispose();
    await Promise.all([receiver.close(), anvil.stop()]);
  });

  const statuses = async () =>
    (await daemon.api.deposits({ userId: "alice" })).map(({ status }) => status).sort();
  const untilStatuses = (...wanted: string[]) =>
    waitFor(async () => JSON.stringify(await statuses()) === JSON.stringify(wanted), {
      timeoutMs: 20_000,
      what: `deposits to be ${wanted.join(", ")}`,
    });

  it("makes its database at the first start, and credits", async () => {
    await daemon.start();
    const { apiKey } = await daemon.createMerchant("Embedded");
    daemon.useKey(apiKey);
    receiver.useSecret((await daemon.api.createEndpoint(receiver.url)).secret);
    await daemon.api.registerAddress("alice", alice);
    await anvil.sendEth(alice, ETHER);
    await anvil.mine(5);
    await untilStatuses("unlocked");
  });

  it("finds its data and its secret key again after an orderly stop, and what was mined meanwhile", async () => {
    expect(await daemon.kill("SIGTERM")).toEqual({ code: 0, signal: null });
    await anvil.sendEth(alice, ETHER);
    await anvil.mine(5);
    await daemon.start();
    await untilStatuses("unlocked", "unlocked");
    await waitFor(() => receiver.callbacks().filter(({ type }) => type === "deposit.unlocked").length === 2);
  });

  it("H2: adopts the server that a killed daemon left running, and goes on", async () => {
    const [before] = await Promise.all([serverProcessOf(daemon), daemon.kill("SIGKILL")]);
    await anvil.sendEth(alice, ETHER);
    await anvil.mine(5);
    await daemon.start();
    expect(await serverProcessOf(daemon)).toBe(before);
    await untilStatuses("unlocked", "unlocked", "unlocked");
    const { assets } = await daemon.api.balances("alice");
    expect(assets.map(({ currency, available }) => [currency, available])).toEqual([["ETH", "3"]]);
  });
});

/** The number of the PostgreSQL server's process, by its own file. */
async function serverProcessOf(daemon: Daemon): Promise<string> {
  const text = await readFile(`${daemon.folder}/data/postgresql/data/postmaster.pid`, "utf8");
  return text.split("\n")[0] ?? "";
}
