/** What the daemon says and does while something it needs is away or wrong. */
import { writeFile } from "node:fs/promises";
import { afterEach, describe, expect, it } from "vitest";
import { systemClock } from "../runtime/clock.ts";
import { type Anvil, startAnvil } from "../testing/anvil.ts";
import { createDaemon, type Daemon } from "../testing/daemon.ts";
import { chainOf } from "../testing/daemon-config.ts";
import { createTestDatabase, type TestDatabase } from "../testing/database.ts";
import { waitFor } from "../testing/wait-for.ts";
import { expectAgreement } from "./agreement.ts";
import { startRig } from "./rig.ts";
import { openTcpGate, type TcpGate } from "./tcp-gate.ts";
import { seeded, startTraffic } from "./traffic.ts";

const ETHER = 10n ** 18n;

const cleanUps: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const cleanUp of cleanUps.splice(0).reverse()) await cleanUp();
});
const later = <Thing>(thing: Thing, cleanUp: (thing: Thing) => Promise<unknown>): Thing => {
  cleanUps.push(() => cleanUp(thing));
  return thing;
};

async function daemonOn(
  chains: Parameters<typeof createDaemon>[0]["chains"],
): Promise<[Daemon, TestDatabase]> {
  const test = later(await createTestDatabase(), (each) => each.drop());
  const daemon = await createDaemon({ databaseUrl: test.url, redisUrl: null, chains });
  return [later(daemon, (each) => each.dispose()), test];
}

/** What `/readyz` says in full, as text: its parts are for people. */
async function untilReadyzSays(daemon: Daemon, what: RegExp): Promise<string> {
  let said = "";
  const isSaid = async () => {
    const { status, body } = await daemon.readyz();
    said = `${status} ${JSON.stringify(body)}`;
    return status === 503 && what.test(said);
  };
  await waitFor(isSaid, { timeoutMs: 15_000, what: `/readyz to say ${what}` }).catch((cause: unknown) => {
    const logged = daemon
      .log()
      .slice(-25)
      .map((line) => JSON.stringify(line));
    throw new Error([`/readyz never said ${what}, but ${said}`, ...logged].join("\n"), { cause });
  });
  return said;
}

describe("a node that is not there", () => {
  it("is waited for, shown by /readyz and said in one line; the chain is followed once it comes", async () => {
    const first = await startAnvil({ mining: "manual" });
    const port = Number(new URL(first.url).port);
    await first.stop();
    const [daemon, test] = await daemonOn([chainOf(first)]);
    await daemon.launch();
    await daemon.url();
    await untilReadyzSays(daemon, /did not answer \(ECONNREFUSED\)/);
    expect(daemon.process().isRunning()).toBe(true);

    const anvil = later(await startAnvil({ mining: "manual", port }), (each) => each.stop());
    await anvil.mine(3);
    await daemon.ready();
    await untilCursor(test, anvil);
    const said = daemon.log().filter((line) => /did not answer/.test(JSON.stringify(line)));
    expect(said.length).toBeGreaterThan(0);
  });
});

describe("a node of another chain", () => {
  it("C7: is refused, and /readyz names both chain ids", async () => {
    const anvil = later(await startAnvil({ mining: "manual" }), (each) => each.stop());
    const [daemon, test] = await daemonOn([chainOf({ chainId: 4242, url: anvil.url })]);
    await anvil.mine(3);
    await daemon.launch();
    await daemon.url();
    await untilReadyzSays(daemon, /is of chain 31337, not of chain 4242/);
    expect(await test.database.query("SELECT * FROM block_refs")).toEqual([]);
    expect(daemon.process().isRunning()).toBe(true);
  });
});

describe("a database that goes away", () => {
  it("H3: is waited for; what was mined meanwhile is credited and told once it is back", {
    timeout: 90_000,
  }, async () => {
    let gate: TcpGate | undefined;
    const rig = await startRig({
      databaseUrl: async (url) => {
        gate = await openTcpGate({ host: new URL(url).hostname, port: Number(new URL(url).port) });
        return throughGate(url, gate);
      },
    });
    later(rig, async (each) => {
      await each.stop();
      await gate?.close();
    });
    const alice = await rig.watch("alice");
    await rig.anvil.sendEth(alice, ETHER);
    await rig.anvil.mine();
    await rig.caughtUp();

    await gate?.shut();
    await untilReadyzSays(rig.daemon, /database/i);
    await rig.anvil.sendEth(alice, 2n * ETHER);
    await rig.anvil.mine(6);
    expect(rig.daemon.process().isRunning()).toBe(true);

    await gate?.open();
    // A claim whose answer was lost in the cut runs out by itself, which may take most of this.
    await rig.quiet(60_000);
    await rig.daemon.ready();
    expect(await rig.summaryOf("alice")).toEqual(["unlocked 1 ETH", "unlocked 2 ETH"]);
    expect(await rig.balancesOf("alice")).toEqual({ ETH: [0n, 3n * ETHER] });
  });
});

describe("a database whose connections break again and again", () => {
  it("H3: costs no deposit, no callback and not the process", { timeout: 90_000 }, async () => {
    let gate: TcpGate | undefined;
    const rig = await startRig({
      databaseUrl: async (url) => {
        gate = await openTcpGate({ host: new URL(url).hostname, port: Number(new URL(url).port) });
        return throughGate(url, gate);
      },
    });
    later(rig, async (each) => {
      await each.stop();
      await gate?.close();
    });
    const users = { alice: await rig.watch("alice"), bob: await rig.watch("bob") };
    const traffic = startTraffic(rig, { users: Object.values(users), random: seeded(3), pauseMs: 30 });
    const random = seeded(5);
    for (let cut = 0; cut < 12; cut++) {
      await systemClock.sleep(random() * 600);
      await gate?.shut();
      await systemClock.sleep(random() * 100);
      await gate?.open();
    }
    await traffic.stop();
    await rig.quiet(60_000);
    await rig.mineDeep();
    expect(rig.daemon.process().isRunning()).toBe(true);
    await expectAgreement(rig, users);
  });
});

describe("a config with faults", () => {
  it("names every fault with its path and exits with 2", async () => {
    const [daemon] = await daemonOn([]);
    await writeFile(
      daemon.configFile,
      [
        "http: { port: 123456 }",
        "callbacks: { timeoutt: 5s }",
        "chains:",
        "  - id: -1",
        "    nodes: []",
        "    startBlock: soon",
        "    native: { currency: ETH, decimals: 18, minimum: 0.5, internal: none }",
      ].join("\n"),
    );
    const { exitCode, stdout, stderr } = await daemon.command("start");
    expect(exitCode).toBe(2);
    const said = [stdout, ...stderr.map((line) => JSON.stringify(line))].join("\n");
    for (const path of [
      "http.port",
      "callbacks.timeoutt",
      "chains[0].id",
      "chains[0].nodes",
      "chains[0].startBlock",
    ]) {
      expect(said).toContain(path);
    }
  });

  it("exits with 2 when there is no such file", async () => {
    const [daemon] = await daemonOn([]);
    const process = await daemon.launch({}, ["--config", `${daemon.folder}/nowhere.yaml`]);
    expect(await process.exited).toEqual({ code: 2, signal: null });
  });
});

function throughGate(url: string, gate: TcpGate): string {
  const through = new URL(url);
  through.port = String(gate.port);
  return through.href;
}

async function untilCursor(test: TestDatabase, anvil: Anvil): Promise<void> {
  const { number } = await anvil.head();
  await waitFor(
    async () => {
      const rows = await test.database.query<{ cursor_number: bigint }>("SELECT cursor_number FROM chains");
      return rows[0]?.cursor_number === number;
    },
    { what: "the cursor to reach the head" },
  );
}
