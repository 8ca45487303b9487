/** The whole daemon on nodes that jump, fall silent, disagree, cannot trace, or are gone for long. */
import { afterEach, describe, expect, it } from "vitest";
import { type Anvil, startAnvil } from "../testing/anvil.ts";
import { createDaemon } from "../testing/daemon.ts";
import { chainOf } from "../testing/daemon-config.ts";
import { createTestDatabase } from "../testing/database.ts";
import * as lies from "../testing/lies.ts";
import { type NodeProxy, startNodeProxy } from "../testing/node-proxy.ts";
import { waitFor } from "../testing/wait-for.ts";
import { type Rig, type RigOptions, startRig } from "./rig.ts";
import { openTcpGate, type TcpGate } from "./tcp-gate.ts";

const ETHER = 10n ** 18n;

const cleanUps: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const cleanUp of cleanUps.splice(0).reverse()) await cleanUp();
});
const later = <Thing>(thing: Thing, cleanUp: (thing: Thing) => Promise<unknown>): Thing => {
  cleanUps.push(() => cleanUp(thing));
  return thing;
};

const proxyOf = async (anvil: Pick<Anvil, "url">) =>
  later(await startNodeProxy(anvil.url), (proxy) => proxy.stop());

/** A rig behind one proxy, which also passes WebSockets on. */
async function rigBehindProxy(options: RigOptions = {}): Promise<{ rig: Rig; proxy: NodeProxy }> {
  let proxy: NodeProxy | undefined;
  const rig = await startRig({
    nodes: async (anvil) => {
      proxy = await proxyOf(anvil);
      return [{ url: proxy.url, ws: proxy.wsUrl }];
    },
    ...options,
  });
  later(rig, (each) => each.stop());
  if (proxy === undefined) throw new Error("The rig asked for no nodes");
  return { rig, proxy };
}

/** What `/readyz` says of the only chain. */
interface ChainPage {
  readonly ready: boolean;
  readonly problem: string | null;
  readonly headNumber: number | null;
  readonly finalizedAt: string | null;
  readonly notes: readonly string[];
  readonly nodes: readonly { readonly leading: boolean; readonly errors: Readonly<Record<string, number>> }[];
}
async function chainPage(rig: Pick<Rig, "daemon">): Promise<ChainPage> {
  const { body } = await rig.daemon.readyz();
  const [chain] = (body as { chains: ChainPage[] }).chains;
  if (chain === undefined) throw new Error("/readyz shows no chain");
  return chain;
}

const metricOf = async (rig: Rig, name: RegExp): Promise<number> => {
  const response = await fetch(`${await rig.daemon.url()}/metrics`);
  const line = (await response.text()).split("\n").find((each) => name.test(each));
  return Number(line?.split(" ").at(-1) ?? 0);
};

const logged = (rig: Rig, sentence: string) => rig.daemon.log().filter(({ msg }) => msg === sentence);

describe("a node whose head jumps", () => {
  it("C8: is not believed: no page shows the jump, nothing is credited early, and all is found once", {
    timeout: 90_000,
  }, async () => {
    const { rig, proxy } = await rigBehindProxy();
    const alice = await rig.watch("alice");
    await rig.caughtUp();
    let jumps = 0;
    proxy.lie(
      async (call) => {
        const body = await call.forward();
        const block = body["result"] as { number: string } | null;
        if (call.params[0] !== "latest" || block === null || jumps++ % 2 === 0) return { status: 200, body };
        const number = `0x${(Number(block.number) + 100_000).toString(16)}`;
        return { status: 200, body: { ...body, result: { ...block, number } } };
      },
      { methods: ["eth_getBlockByNumber"] },
    );
    await rig.anvil.sendEth(alice, ETHER);
    const { number } = await rig.anvil.mine();
    const shown = new Set<number | null>();
    await waitFor(
      async () => {
        shown.add((await chainPage(rig)).headNumber);
        return jumps >= 12;
      },
      { timeoutMs: 60_000, what: "a dozen looks at the jumping head" },
    );
    expect([...shown].every((head) => head !== null && head <= Number(number))).toBe(true);
    expect(await rig.summaryOf("alice")).toEqual(["pending 1 ETH"]);
    proxy.tellTruth();
    await rig.mineDeep();
    expect(await rig.summaryOf("alice")).toEqual(["unlocked 1 ETH"]);
  });
});

describe("a node that falls silent", () => {
  it("C9: is polled while its socket stays open and says nothing, and after requests that hang", {
    timeout: 120_000,
  }, async () => {
    const { rig, proxy } = await rigBehindProxy();
    const alice = await rig.watch("alice");
    await waitFor(() => proxy.openWebSockets() > 0, { what: "the daemon's WebSocket" });
    proxy.silenceWebSockets(true);
    await rig.anvil.sendEth(alice, ETHER);
    await rig.mineDeep();
    expect(proxy.openWebSockets()).toBeGreaterThan(0);
    expect(await rig.summaryOf("alice")).toEqual(["unlocked 1 ETH"]);

    proxy.lie(lies.hang(), { methods: ["eth_getBlockByNumber"], times: 2 });
    await rig.anvil.sendEth(alice, 2n * ETHER);
    await rig.mineDeep(60_000);
    expect(await rig.summaryOf("alice")).toEqual(["unlocked 1 ETH", "unlocked 2 ETH"]);
  });
});

describe("two nodes on different branches", () => {
  it("C10: are not followed in turn: the deposit of the first's branch is credited, and never taken back", {
    timeout: 90_000,
  }, async () => {
    const other = later(await startAnvil({ mining: "manual" }), (each) => each.stop());
    let first: NodeProxy | undefined;
    const rig = await startRig({
      nodes: async (anvil) => {
        first = await proxyOf(anvil);
        return [{ url: first.url }, { url: other.url }];
      },
    });
    later(rig, (each) => each.stop());
    const alice = await rig.watch("alice");
    await rig.anvil.sendEth(alice, ETHER);
    // Of the same length, or a block longer: its genesis is not even ours.
    const levelUp = async (ahead: bigint) => {
      const [ours, theirs] = await Promise.all([rig.anvil.head(), other.head()]);
      if (ours.number + ahead > theirs.number) await other.mine(Number(ours.number + ahead - theirs.number));
    };
    await levelUp(1n);
    for (let block = 0; block < 6; block++) {
      // One question in a row fails again and again, so that the other one is asked.
      first?.lie(lies.badGateway(), { methods: ["eth_getBlockByNumber"], times: 2 });
      await rig.anvil.mine();
      await levelUp(block % 2 === 0 ? 0n : 1n);
      await rig.caughtUp();
    }
    await rig.quiet();
    expect(await rig.summaryOf("alice")).toEqual(["unlocked 1 ETH"]);
    const [deposit] = await rig.depositsOf("alice");
    const { history } = await rig.api.deposit(deposit?.id ?? "");
    const statuses = history?.map((move) => (move as { status: string }).status);
    expect(statuses).toEqual(["pending", "credited", "unlocked"]);
    expect(logged(rig, "Undid a reorg")).toEqual([]);
    const { nodes } = await chainPage(rig);
    expect(nodes.map(({ leading }) => leading)).toEqual([true, false]);
    expect(nodes[0]?.errors["node_error"]).toBeGreaterThan(0);
  });
});

describe("a node without traces, where inner calls are wanted", () => {
  it("C11: is said by doctor and /readyz; not one block is ingested, and the chain is followed once it traces", {
    timeout: 90_000,
  }, async () => {
    const anvil = later(await startAnvil({ mining: "manual" }), (each) => each.stop());
    const proxy = await proxyOf(anvil);
    const test = later(await createTestDatabase(), (each) => each.drop());
    const native = { currency: "ETH", decimals: 18, minimum: "0.001", internal: "trace" };
    const chain = chainOf({ chainId: anvil.chainId, url: proxy.url }, {}, { native });
    const daemon = later(
      await createDaemon({ databaseUrl: test.url, redisUrl: null, chains: [chain] }),
      (each) => each.dispose(),
    );
    await anvil.mine(5);
    proxy.lie(lies.methodMissing(), { methods: ["debug_traceBlockByHash", "trace_block"] });
    const doctor = await daemon.command("doctor", "--json");
    expect(doctor.exitCode).toBe(1);
    expect(doctor.stdout).toContain("neither debug_traceBlockByHash nor trace_block");

    proxy.resetCalls();
    await daemon.launch();
    await daemon.url();
    const said = await waitFor(
      async () => {
        const page = await chainPage({ daemon });
        return page.problem?.includes("traces") === true ? page : undefined;
      },
      { timeoutMs: 30_000, what: "/readyz to name the traces" },
    );
    expect(said.ready).toBe(false);
    await waitFor(() => daemon.log().some((line) => /somebody has to look/.test(line.msg)), {
      what: "the follower to give up for now",
    });
    expect(await test.database.query("SELECT * FROM block_refs")).toEqual([]);
    expect(proxy.calls.get("eth_getBlockReceipts")).toBeUndefined();

    proxy.tellTruth();
    await daemon.kill("SIGTERM");
    await daemon.start();
    const { number } = await anvil.head();
    await waitFor(async () => {
      const rows = await test.database.query<{ cursor_number: bigint }>("SELECT cursor_number FROM chains");
      return rows[0]?.cursor_number === number;
    });
  });
});

describe("a node without traces beside one that has them", () => {
  it("is no fault for doctor, which says what it is asked for", { timeout: 90_000 }, async () => {
    const anvil = later(await startAnvil({ mining: "manual" }), (each) => each.stop());
    const plain = await proxyOf(anvil);
    plain.lie(lies.methodMissing(), { methods: ["debug_traceBlockByHash", "trace_block"] });
    const test = later(await createTestDatabase(), (each) => each.drop());
    const native = { currency: "ETH", decimals: 18, minimum: "0.001", internal: "trace" };
    const nodes = [{ url: plain.url }, { url: anvil.url }];
    const daemon = later(
      await createDaemon({
        databaseUrl: test.url,
        redisUrl: null,
        chains: [chainOf({ chainId: anvil.chainId, url: plain.url }, {}, { native, nodes })],
      }),
      (each) => each.dispose(),
    );
    const ofPlain = async () => {
      const { exitCode, stdout } = await daemon.command("doctor", "--json");
      const { findings } = JSON.parse(stdout) as { findings: { part: string; level: string }[] };
      const { host } = new URL(plain.url);
      return [exitCode, ...findings.filter(({ part }) => part.endsWith(host)).map(({ level }) => level)];
    };
    expect(await ofPlain()).toEqual([0, "warn"]);
    plain.tellTruth();
    plain.lie(lies.tooManyRequests());
    // Once, however many questions it refused.
    expect(await ofPlain()).toEqual([1, "fail"]);
  });
});

describe("a chain whose only node is gone for long", () => {
  it("C13: is caught up with when the node is back, and every deposit of that time is found once", {
    timeout: 120_000,
  }, async () => {
    let gate: TcpGate | undefined;
    const rig = await startRig({
      nodeUrl: async (anvil) => {
        gate = await openTcpGate({ host: "127.0.0.1", port: Number(new URL(anvil.url).port) });
        return `http://127.0.0.1:${gate.port}`;
      },
    });
    later(rig, async (each) => {
      await each.stop();
      await gate?.close();
    });
    const alice = await rig.watch("alice");
    await rig.caughtUp();
    await gate?.shut();
    await waitFor(async () => (await chainPage(rig)).problem?.includes("did not answer"), {
      timeoutMs: 20_000,
      what: "/readyz to miss the node",
    });
    // Far more blocks than are kept: nothing of the gap may be taken for a reorg.
    for (let part = 1n; part <= 4n; part++) {
      await rig.anvil.sendEth(alice, part * ETHER);
      await rig.anvil.mine(50);
    }
    await gate?.open();
    await rig.quiet(60_000);
    await rig.mineDeep();
    expect(await rig.summaryOf("alice")).toEqual([1, 2, 3, 4].map((part) => `unlocked ${part} ETH`));
    expect(await rig.balancesOf("alice")).toEqual({ ETH: [0n, 10n * ETHER] });
    const isReported = async () =>
      (await rig.test.database.query("SELECT FROM node_states WHERE errors::text LIKE '%node_unreachable%'"))
        .length > 0;
    await waitFor(isReported, { timeoutMs: 30_000, what: "the node's report" });
    const nodeStates = await rig.daemon.command("status", "--json");
    const { nodes } = JSON.parse(nodeStates.stdout) as {
      nodes: { errors: string[]; requestLimit: number }[];
    };
    expect(nodes[0]?.errors.join(" ")).toMatch(/node_unreachable=\d+/);
    expect(nodes[0]?.requestLimit).toBeGreaterThan(0);
  });
});

describe("finality that does not go on", () => {
  const tagLie =
    (answer: lies.Lie): lies.Lie =>
    async (call) =>
      call.params[0] === "finalized" ? answer(call) : { status: 200, body: await call.forward() };
  const finalizedAt = (number: bigint): lies.Lie =>
    tagLie(async (call) => ({
      status: 200,
      body: await call.forward({ params: [`0x${number.toString(16)}`, false] }),
    }));

  it("B10: makes deposits wait with a visible reason, whether it stands still, goes back or is not supported", {
    timeout: 120_000,
  }, async () => {
    const { rig, proxy } = await rigBehindProxy({
      anvil: { slotsInAnEpoch: 1 },
      chain: { confirmations: { credit: "finalized", unlock: "finalized" } },
    });
    const methods = { methods: ["eth_getBlockByNumber"] };
    const isFinalAt = (number: bigint) =>
      waitFor(
        async () => {
          const rows = await rig.test.database.query<{ finalized_number: bigint | null }>(
            "SELECT finalized_number FROM chains",
          );
          return rows[0]?.finalized_number === number;
        },
        { what: `finalized to be ${number}` },
      );
    const [alice, bob] = [await rig.watch("alice"), await rig.watch("bob")];
    await rig.anvil.sendEth(alice, ETHER);
    await rig.anvil.mine(6);
    await waitFor(async () => (await rig.summaryOf("alice"))[0] === "unlocked 1 ETH");
    const before = await rig.anvil.head();

    // It stands still: deposits wait, however deep they are.
    const still = before.number - 2n;
    const endStill = proxy.lie(finalizedAt(still), methods);
    await rig.anvil.sendEth(bob, ETHER);
    await rig.anvil.mine(20);
    await rig.caughtUp();
    await isFinalAt(still);
    expect(await rig.summaryOf("bob")).toEqual(["pending 1 ETH"]);
    const { finalizedAt: since } = await chainPage(rig);
    expect(Date.parse(since ?? "")).toBeLessThanOrEqual(Date.now());
    expect(
      await metricOf(rig, /^depositd_chain_finality_still_seconds\{.*tag="finalized"/),
    ).toBeGreaterThanOrEqual(0);
    expect((await rig.daemon.command("status")).stdout).toContain(`${still} (`);

    // It goes back: told, and what was credited stays.
    endStill();
    const endBack = proxy.lie(finalizedAt(still - 2n), methods);
    await rig.anvil.mine();
    await isFinalAt(still - 2n);
    expect(logged(rig, "Finality went back").at(-1)).toMatchObject({
      tag: "finalized",
      from_number: String(still),
      to_number: String(still - 2n),
    });
    expect(await metricOf(rig, /^depositd_finality_lost_total\{.*tag="finalized"/)).toBeGreaterThan(0);
    expect(await rig.summaryOf("alice")).toEqual(["unlocked 1 ETH"]);
    expect(await rig.summaryOf("bob")).toEqual(["pending 1 ETH"]);

    // It is not supported: the reason is on the page.
    endBack();
    proxy.lie(tagLie(lies.rpcError(-39001, "finalized block not found")), methods);
    await rig.anvil.mine();
    await waitFor(async () => (await chainPage(rig)).notes.join().includes('no "finalized" block'), {
      what: "the warning",
    });
    expect(await rig.summaryOf("bob")).toEqual(["pending 1 ETH"]);

    proxy.tellTruth();
    await rig.anvil.mine();
    await waitFor(async () => (await rig.summaryOf("bob"))[0] === "unlocked 1 ETH", {
      timeoutMs: 20_000,
      what: "bob's deposit to be final",
    });
  });
});
