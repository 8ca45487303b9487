/** Nodes that tell what is not so, seen by the whole daemon: what is proved, refused, alarmed and waited for. */
import { encodeFunctionData } from "viem";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import type { Address } from "../core/hex.ts";
import { type Anvil, startAnvil } from "../testing/anvil.ts";
import { batcherAbi, contractCode, tokenAbi } from "../testing/contracts.ts";
import { addressOf } from "../testing/factory.ts";
import * as lies from "../testing/lies.ts";
import { type NodeProxy, startNodeProxy } from "../testing/node-proxy.ts";
import { waitFor } from "../testing/wait-for.ts";
import { CREDIT_DEPTH, type Rig, startRig, UNLOCK_DEPTH } from "./rig.ts";

const ETHER = 10n ** 18n;
const NOWHERE = "http://127.0.0.1:9";
const RECEIPTS = { methods: ["eth_getBlockReceipts"] };
const BLOCKS = { methods: ["eth_getBlockByHash", "eth_getBlockByNumber"] };

interface ChainView {
  readonly ready: boolean;
  readonly verification: { readonly level: string | null; readonly expected: string | null };
  readonly notes: readonly string[];
}

let first: NodeProxy;
let second: NodeProxy;
let rig: Rig;

/** A daemon with two nodes, each behind a proxy of its own. */
async function startWithTwoNodes(chain: Record<string, unknown> = {}): Promise<void> {
  [first, second] = await Promise.all([startNodeProxy(NOWHERE), startNodeProxy(NOWHERE)]);
  rig = await startRig({
    anvil: { hardfork: "prague" },
    nodeUrl: async (anvil) => {
      for (const proxy of [first, second]) proxy.redirect(anvil.url);
      return first.url;
    },
    chain: { nodes: [{ url: first.url }, { url: second.url }], ...chain },
  });
}

async function stop(): Promise<void> {
  await rig.stop();
  await Promise.all([first.stop(), second.stop()]);
}

const chainView = async (): Promise<ChainView> => {
  const { body } = await rig.daemon.readyz();
  const [view] = (body as { chains: ChainView[] }).chains;
  if (view === undefined) throw new Error("/readyz shows no chain");
  return view;
};
const statusOfChain = async () => {
  const { stdout } = await rig.daemon.command("status", "--json");
  return (JSON.parse(stdout) as { chains: Record<string, unknown>[] }).chains[0] ?? {};
};
const metric = async (name: string) => {
  const { body } = await rig.api.call<string>("GET", "/metrics");
  const lines = body.split("\n").filter((line) => line.startsWith(`depositd_${name}{`));
  return lines.reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(" "))), 0);
};

describe("nodes that lie about the blocks of a chain that proves them", () => {
  let batcher: Address;
  beforeAll(async () => {
    await startWithTwoNodes();
    batcher = await rig.anvil.deploy(await contractCode("Batcher"));
    const data = encodeFunctionData({ abi: tokenAbi, functionName: "approve", args: [batcher, 10n ** 12n] });
    await rig.anvil.send({ to: rig.token.address, data });
    await rig.anvil.mine();
    await rig.caughtUp();
  });
  afterAll(stop);
  afterEach(() => {
    for (const proxy of [first, second]) proxy.tellTruth();
  });

  /** Two payments in one receipt. */
  const payTwice = async (to: Address) => {
    const pay = [5_000_000n, 6_000_000n].map((value) => ({ token: rig.token.address, to, value }));
    const data = encodeFunctionData({ abi: batcherAbi, functionName: "pay", args: [pay] });
    await rig.anvil.send({ to: batcher, data });
  };

  it("C2: finds both deposits of a receipt of which one node leaves out a log, and tells them as proved", async () => {
    const user = await rig.watch("carla");
    first.lie(lies.dropLog(0), RECEIPTS);
    await payTwice(user);
    await rig.mineDeep();
    expect(await rig.summaryOf("carla")).toEqual(["unlocked 5 USDT", "unlocked 6 USDT"]);
    for (const { verification } of await rig.depositsOf("carla")) expect(verification).toBe("proved");
    const [told] = rig.receiver.callbacks().filter(({ data }) => data.userId === "carla");
    expect(told?.data).toMatchObject({ verification: "proved" });
    expect(await metric("verification_refusals_total")).toBeGreaterThan(0);
    expect(await metric("chain_verification_level")).toBe(2);
  });

  it("C2: while all nodes leave a log out the cursor waits, and nothing of the block is credited", async () => {
    const user = await rig.watch("dora");
    await rig.caughtUp();
    for (const proxy of [first, second]) proxy.lie(lies.dropLog(0), RECEIPTS);
    const before = await metric("verification_refusals_total");
    await payTwice(user);
    await rig.anvil.mine(UNLOCK_DEPTH);
    await waitFor(async () => (await metric("verification_refusals_total")) >= before + 4, {
      timeoutMs: 30_000,
      what: "both nodes to be refused twice",
    });
    expect(await rig.depositsOf("dora")).toEqual([]);
    for (const proxy of [first, second]) proxy.tellTruth();
    await rig.quiet();
    expect(await rig.balancesOf("dora")).toEqual({ USDT: [0n, 11_000_000n] });
  });

  it("C12: credits no deposit that a node invents in an otherwise right block", async () => {
    const [rich, poor] = [await rig.watch("rich"), await rig.watch("poor")];
    const redirected = lies.changed((result) =>
      JSON.parse(JSON.stringify(result).replaceAll(poor.slice(2), rich.slice(2))),
    );
    first.lie(redirected, { methods: [...BLOCKS.methods, ...RECEIPTS.methods] });
    await rig.anvil.sendEth(poor, ETHER);
    await rig.anvil.transferToken(rig.token, poor, 1_000_000n);
    await rig.mineDeep();
    expect(await rig.depositsOf("rich")).toEqual([]);
    expect(await rig.balancesOf("poor")).toEqual({ ETH: [0n, ETHER], USDT: [0n, 1_000_000n] });
  });

  it("goes on over a fork that adds a header field, with an alarm that lasts until the level is back, across a restart too", async () => {
    const user = await rig.watch("fork");
    await rig.caughtUp();
    for (const proxy of [first, second]) proxy.lie(lies.unknownField(), BLOCKS);
    await rig.anvil.transferToken(rig.token, user, 1_000_000n);
    await rig.anvil.sendEth(user, ETHER);
    await rig.mineDeep();
    const deposits = await rig.depositsOf("fork");
    expect(deposits.map(({ source, verification }) => [source, verification])).toEqual([
      ["log:0", "bloom"],
      ["value", "none"],
    ]);
    const alarmed = async () => {
      const view = await chainView();
      expect(view).toMatchObject({ ready: true, verification: { level: "bloom", expected: "proved" } });
      expect(view.notes).toEqual([expect.stringContaining("header.futureRoot")]);
      expect(await statusOfChain()).toMatchObject({
        verification: "bloom",
        verificationExpected: "proved",
        verificationAlarm: expect.stringContaining("header.futureRoot"),
      });
      expect(await metric("chain_verification_alarm")).toBe(1);
      expect(await metric("chain_verification_level")).toBe(1);
    };
    await alarmed();
    expect(await metric("verification_drops_total")).toBe(1);
    expect(rig.daemon.log().some((line) => line.msg === "Verification dropped")).toBe(true);

    // Nodes that lie while it starts cannot make it forget what the chain reached.
    await rig.daemon.kill("SIGTERM");
    await rig.daemon.start();
    await rig.anvil.mine(2);
    await rig.caughtUp();
    await waitFor(async () => (await chainView()).notes.length > 0, { what: "the alarm to be shown again" });
    await alarmed();

    for (const proxy of [first, second]) proxy.tellTruth();
    await rig.anvil.mine();
    await rig.caughtUp();
    await waitFor(async () => (await chainView()).notes.length === 0, { what: "the alarm to end" });
    expect(await metric("chain_verification_alarm")).toBe(0);
    expect(await statusOfChain()).toMatchObject({ verification: "proved", verificationAlarm: null });
  });
});

describe("a chain that wants two witnesses", () => {
  let other: Anvil;
  beforeAll(async () => {
    other = await startAnvil({ mining: "manual" });
    await startWithTwoNodes({ witnesses: 2 });
  });
  afterAll(async () => {
    await stop();
    await other.stop();
  });

  it("C10: credits nothing of a branch that one of two nodes does not hold, says so, and does once it holds it", async () => {
    const user = await rig.watch("wanda");
    await rig.anvil.sendEth(user, ETHER);
    await rig.mineDeep();
    expect(await rig.summaryOf("wanda")).toEqual(["unlocked 1 ETH"]);
    const { number: agreed } = await rig.anvil.head();
    await waitFor(async () => (await statusOfChain())["witnessedNumber"] === Number(agreed), {
      what: "the head to be witnessed",
    });

    await other.mine(Number(agreed) + 1);
    second.redirect(other.url);
    second.cutConnections();
    await rig.anvil.sendEth(user, 2n * ETHER);
    await rig.anvil.mine(UNLOCK_DEPTH);
    await rig.caughtUp();
    const [, waiting] = await rig.depositsOf("wanda");
    expect(waiting).toMatchObject({ status: "pending", confirmations: UNLOCK_DEPTH });
    expect(await rig.api.deposit(waiting?.id ?? "")).toMatchObject({
      waitsFor: `waiting for 2 nodes to hold its branch, which they do up to block ${agreed}`,
    });
    expect(await chainView()).toMatchObject({
      ready: true,
      witnesses: { wanted: 2, number: Number(agreed) },
      notes: [
        `Deposits above block ${agreed} wait until 2 nodes hold their block and those that make it deep enough`,
      ],
    });

    second.redirect(rig.anvil.url);
    second.cutConnections();
    await waitFor(async () => (await rig.summaryOf("wanda")).join() === "unlocked 1 ETH,unlocked 2 ETH", {
      timeoutMs: 30_000,
      what: "the deposit to be unlocked once two nodes hold its block",
    });
    const id = waiting?.id ?? "";
    await rig.receiver.untilTold(id, "unlocked");
    expect(rig.receiver.toldOf(id)).toEqual(["pending", "credited", "unlocked"]);
    expect((await chainView()).notes).toEqual([]);
  });

  it("lowers what is witnessed when a reorg takes it away, and credits the new branch alone", async () => {
    const user = await rig.watch("rita");
    const payment = await rig.anvil.sign({ to: addressOf("somebody"), valueWei: ETHER });
    const paid = await rig.anvil.sign({ to: user, valueWei: ETHER, from: rig.anvil.account(3) });
    const point = await rig.anvil.forkPoint();
    const branch = [{ transactions: [paid] }, ...Array.from({ length: CREDIT_DEPTH - 1 }, () => ({}))];
    await rig.anvil.mineBranch(point, branch);
    await waitFor(async () => (await rig.summaryOf("rita")).join() === "credited 1 ETH", {
      timeoutMs: 30_000,
      what: "the deposit to be credited",
    });
    await rig.anvil.mineBranch(point, [{ transactions: [payment] }, {}, {}, {}, {}]);
    await rig.caughtUp();
    expect(await rig.summaryOf("rita")).toEqual(["reversed 1 ETH"]);
    const { number } = await rig.anvil.head();
    await waitFor(async () => (await statusOfChain())["witnessedNumber"] === Number(number), {
      what: "the new branch to be witnessed",
    });
  });
});
