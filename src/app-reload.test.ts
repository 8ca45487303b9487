import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { createLiveConfig, type LiveConfig, type ReloadParts, reload, reloadWorker } from "./app-reload.ts";
import { listAudit } from "./audit/audit-store.ts";
import type { Asset } from "./core/asset.ts";
import { TemporaryError } from "./core/errors.ts";
import { registerAssets } from "./deposits/asset-store.ts";
import { registerChains } from "./flow/register-chains.ts";
import { createSenderLists } from "./review/sender-lists.ts";
import { systemClock } from "./runtime/clock.ts";
import type { Config } from "./runtime/config/config.ts";
import { readConfig } from "./runtime/config/read-config.ts";
import { type LogFields, type Logger, silentLogger } from "./runtime/logger.ts";
import { createTestDatabase, type TestDatabase } from "./testing/database.ts";
import { addressOf } from "./testing/factory.ts";
import { waitFor } from "./testing/wait-for.ts";

let test: TestDatabase;
let folder: string;
let log: [sentence: string, fields: LogFields][];
let config: Config;
let live: LiveConfig;

const write = (credit: number, more = "") =>
  writeFile(
    join(folder, "depositd.yaml"),
    `chains:
  - id: 31337
    name: local
    blockTime: 1s
    nodes: [{ url: "http://127.0.0.1:8545/s3cr3t${more === "" ? "" : "2"}" }]
    confirmations: { credit: ${credit}, unlock: 64 }
    native: { currency: ETH, decimals: 18, internal: none }
${more}`,
  );
const read = () => readConfig({ file: join(folder, "depositd.yaml"), env: {}, cwd: folder });

beforeEach(async () => {
  test = await createTestDatabase();
  folder = await mkdtemp(join(tmpdir(), "depositd-reload-"));
  log = [];
  await write(12);
  config = await read();
  live = createLiveConfig(config, (await registerChains(test.database, config.chains, silentLogger)).assets);
});
afterEach(async () => {
  await rm(folder, { recursive: true });
  await test.drop();
});

function parts(nodesOf: ReloadParts["nodesOf"] = new Map()) {
  const note = (sentence: string, fields: LogFields = {}) => void log.push([sentence, fields]);
  const logger: Logger = { ...silentLogger, info: note, warn: note, error: note };
  const wakers = {
    settleAt: async () => undefined,
    settleNow: async () => undefined,
    deliver: async () => undefined,
    deliverAt: async () => undefined,
  };
  const senderLists = createSenderLists({ clock: systemClock, logger });
  const { database } = test;
  return {
    config,
    live,
    nodesOf,
    senderLists,
    readConfig: read,
    database,
    wakers,
    clock: systemClock,
    logger,
  };
}

/** What the contracts say, in place of a node. */
const saysDecimals = (decimals: number | null) =>
  new Map([[31337, { tokenWords: async () => ({ decimals, symbol: "USDT" }) }]]);

const creditDepth = () => live.assetsOf(31337)[0]?.policy[0]?.credit.depth;

describe("reloading the config", () => {
  it("puts a changed policy in force, with its old and its new value in the log", async () => {
    await write(3);
    await reload(parts(), config);
    expect(creditDepth()).toBe(3);
    const [change] = log;
    expect(change?.[0]).toBe("Changed the config in force");
    expect(change?.[1]["from"]).toContain('"depth":12');
    expect(change?.[1]["to"]).toContain('"depth":3');
  });

  it("keeps what is in force when the file has faults, and takes it when it is mended", async () => {
    await writeFile(join(folder, "depositd.yaml"), "chains: 7");
    expect(await reload(parts(), config)).toBe(config);
    expect(log.map(([sentence]) => sentence)).toEqual([
      "Kept the config in force: the changed one cannot be taken",
    ]);
    await write(5);
    await reload(parts(), config);
    expect(creditDepth()).toBe(5);
  });

  it("keeps what is in force when a sender list cannot be taken, and takes both when it can", async () => {
    const list = join(folder, "senders.txt");
    await write(3, `review: { senderLists: ["${list}"] }`);
    const given = parts();
    expect(await reload(given, config)).toBe(config);
    expect(log.map(([sentence, { error }]) => [sentence, String(error)])).toEqual([
      [
        "Kept the config in force: the changed one cannot be taken",
        expect.stringContaining(`The sender list ${list} cannot be read: there is no such file`),
      ],
    ]);
    expect([creditDepth(), live.review().senderLists]).toEqual([12, []]);
    await writeFile(list, addressOf("mallory"));
    await reload(given, config);
    expect([creditDepth(), live.review().senderLists]).toEqual([3, [list]]);
    expect(given.senderLists.filesWith(addressOf("mallory"))).toEqual([list]);
  });

  it("E3: refuses all of a file that adds a token with other decimals than its contract's", async () => {
    const token = addressOf("token");
    const withToken = (decimals: number) =>
      write(3, `    tokens: [{ currency: USDT, decimals: ${decimals}, address: "${token}" }]`);
    await withToken(18);
    expect(await reload(parts(saysDecimals(6)), config)).toBe(config);
    expect(log.map(([sentence, { error }]) => [sentence, String(error)])).toEqual([
      [
        "Kept the config in force: the changed one cannot be taken",
        expect.stringContaining("says it has 6 decimals, the config says 18"),
      ],
    ]);
    expect([creditDepth(), live.assetsOf(31337).length]).toEqual([12, 1]);
    expect(await test.database.query("SELECT FROM assets")).toHaveLength(1);
    await withToken(6);
    await reload(parts(saysDecimals(6)), config);
    expect(live.assetsOf(31337).map(({ currency, decimals }) => [currency, decimals])).toEqual([
      ["ETH", 18],
      ["USDT", 6],
    ]);
  });

  it("E3: asks nothing of the tokens that are in force, and tries again where no node tells", async () => {
    const silent = {
      tokenWords: async () => {
        throw new TemporaryError("node_unreachable", "The node is away", {});
      },
    };
    const nodesOf = new Map([[31337, silent]]);
    await write(3);
    await reload(parts(nodesOf), config);
    expect(creditDepth()).toBe(3);
    await write(4, `    tokens: [{ currency: USDT, decimals: 6, address: "${addressOf("token")}" }]`);
    await expect(reload(parts(nodesOf), config)).rejects.toMatchObject({ code: "node_unreachable" });
    expect(creditDepth()).toBe(3);
  });

  it("E3: lets decimals be put right that were wrong before anything came in, and no others", async () => {
    const [chain] = config.chains;
    const registerWith = (decimals: number) => {
      const token = { ...(chain?.assets[0] as Asset), token: addressOf("token"), currency: "USDT", decimals };
      return registerAssets(test.database, [token]);
    };
    await registerWith(18);
    const [asset] = await registerWith(6);
    expect(asset?.decimals).toBe(6);
    await test.database.query(
      "INSERT INTO ledger_accounts (code, kind, asset_id) VALUES ('custody:test', 'custody', $1)",
      [asset?.id],
    );
    await expect(registerWith(18)).rejects.toMatchObject({ code: "asset_changed" });
  });

  it("says what waits for a restart, and shows no node's URL", async () => {
    await write(12, "callbacks: { schedule: [0s, 7s], timeout: 9s, concurrency: 3 }");
    await reload(parts(), config);
    expect(live.callbacks()).toMatchObject({ scheduleMs: [0, 7_000], timeoutMs: 9_000, concurrency: 64 });
    const restart = log.filter(
      ([sentence]) => sentence === "A changed part of the config waits for a restart",
    );
    expect(restart.map(([, fields]) => fields["path"])).toEqual([
      "callbacks.concurrency",
      "chains.31337.nodes",
    ]);
    expect(JSON.stringify(log)).not.toContain("s3cr3t");
  });

  it("writes what was changed into the audit log, and no secret", async () => {
    await write(5, "callbacks: { schedule: [0s, 7s] }");
    await reload(parts(), config);
    const rows = await listAudit(test.database, 0n, 10);
    expect(rows.map(({ actor, action, subject }) => [actor, action, subject])).toEqual([
      [expect.stringMatching(/^daemon:/), "config.change", "config"],
    ]);
    expect(rows[0]?.detail).toContain('"path":"callbacks.scheduleMs"');
    expect(rows[0]?.detail).not.toContain("s3cr3t");
  });

  it("H5: takes a changed file, and SIGHUP, while the daemon runs", async () => {
    const stop = new AbortController();
    const running = reloadWorker(parts()).run(stop.signal, () => undefined);
    try {
      await waitFor(() => process.listenerCount("SIGHUP") > 0, { timeoutMs: 30_000 });
      await write(4);
      process.emit("SIGHUP");
      await waitFor(() => creditDepth() === 4, { timeoutMs: 30_000 });
      await write(2);
      await waitFor(() => creditDepth() === 2, { timeoutMs: 30_000 });
    } finally {
      stop.abort();
      await running;
    }
    expect(process.listenerCount("SIGHUP")).toBe(0);
  });
});
