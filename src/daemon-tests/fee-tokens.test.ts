/** A token that keeps a part of every transfer and does not say so: against the whole daemon, in each of the three ways. */
import { encodeDeployData, encodeFunctionData, type Hex } from "viem";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import type { Address } from "../core/hex.ts";
import { contractCode, feeTokenAbi, tokenAbi } from "../testing/contracts.ts";
import { addressOf } from "../testing/factory.ts";
import type { Lie } from "../testing/lies.ts";
import { type NodeProxy, startNodeProxy } from "../testing/node-proxy.ts";
import { waitFor } from "../testing/wait-for.ts";
import { listTokens, withTokens } from "./list-tokens.ts";
import { type Rig, startRig } from "./rig.ts";

interface BalancesFound {
  readonly even: number;
  readonly drifts: readonly {
    readonly address: string;
    readonly currency: string;
    readonly driftBaseUnits: string;
  }[];
}

const FEE_PERCENT = 10n;
const PAID = 100_000_000n;
const ARRIVED = 90_000_000n;

/** As a node answers that keeps the state of new blocks only. */
const pruned: Lie = async (call) => ({
  status: 200,
  body: { jsonrpc: "2.0", id: call.id, error: { code: -32000, message: "missing trie node 0xabcd (path )" } },
});

let rig: Rig;
let proxy: NodeProxy;
let byEvent: Address;
let byBalance: Address;
let unlisted: Address;

beforeAll(async () => {
  rig = await startRig({
    nodeUrl: async (anvil) => {
      proxy = await startNodeProxy(anvil.url);
      return proxy.url;
    },
    chain: { fetchThreads: 1 },
  });
  [byEvent, byBalance, unlisted] = await Promise.all([deployFeeToken(), deployFeeToken(), deployFeeToken()]);
  await listTokens(rig, [
    { currency: "FEV", address: byEvent },
    { currency: "FBL", address: byBalance, minimum: "50", amountFrom: "balance" },
  ]);
});
afterEach(() => proxy.tellTruth());
afterAll(async () => {
  await rig.stop();
  await proxy.stop();
});

async function deployFeeToken(): Promise<Address> {
  const token = await rig.anvil.deploy(
    encodeDeployData({ abi: feeTokenAbi, bytecode: await contractCode("FeeToken"), args: [FEE_PERCENT] }),
  );
  await rig.anvil.send({
    to: token,
    data: encodeFunctionData({
      abi: feeTokenAbi,
      functionName: "mint",
      args: [rig.anvil.account(0).address, 10n ** 30n],
    }),
  });
  return token;
}

const transfer = (to: Address, value: bigint): Hex =>
  encodeFunctionData({ abi: feeTokenAbi, functionName: "transfer", args: [to, value] });
const rebase = (holder: Address, balance: bigint): Hex =>
  encodeFunctionData({ abi: feeTokenAbi, functionName: "rebase", args: [holder, balance] });
const pay = (token: Address, to: Address, value = PAID) =>
  rig.anvil.send({ to: token, data: transfer(to, value) });

const heldOf = (token: Address, holder: Address) =>
  rig.anvil.client.readContract({ address: token, abi: tokenAbi, functionName: "balanceOf", args: [holder] });

/** The one deposit of a user, as the API shows it. */
async function depositOf(userId: string) {
  const [deposit, ...others] = await rig.depositsOf(userId);
  if (deposit === undefined || others.length > 0) throw new Error(`${userId} has not one deposit`);
  return rig.api.deposit(deposit.id);
}

const waitsFor = (userId: string, text: string) =>
  waitFor(
    async () => {
      const [deposit] = await rig.depositsOf(userId);
      if (deposit === undefined) return false;
      return (await rig.api.deposit(deposit.id)).waitsFor?.includes(text) === true;
    },
    { timeoutMs: 45_000, what: `the deposit of ${userId} to wait for "${text}"` },
  );

describe("a token that takes a fee on the way", { timeout: 120_000 }, () => {
  it("E1: counts by its event where `amountFrom` is event: what the sender sent", async () => {
    const alice = await rig.watch("alice");
    await pay(byEvent, alice);
    await rig.mineDeep();
    expect(await depositOf("alice")).toMatchObject({
      status: "unlocked",
      amount: "100",
      amountFrom: "event",
      eventAmount: null,
      balanceNodes: null,
    });
    expect(await rig.balancesOf("alice")).toEqual({ FEV: [0n, PAID] });
    expect(await heldOf(byEvent, alice)).toBe(ARRIVED);
  });

  it("E1: counts by the balance where `amountFrom` is balance: what has arrived, and shows both", async () => {
    const bob = await rig.watch("bob");
    await pay(byBalance, bob);
    await rig.mineDeep();
    const deposit = await depositOf("bob");
    expect(deposit).toMatchObject({
      status: "unlocked",
      amount: "90",
      amountFrom: "balance",
      eventAmount: "100",
      balanceNodes: 1,
    });
    expect(await rig.balancesOf("bob")).toEqual({ FBL: [0n, await heldOf(byBalance, bob)] });
    const told = rig.receiver.callbacks().filter(({ data }) => data.id === deposit.id);
    const inOrder = told.map(({ data }) => data).sort((a, b) => a.sequence - b.sequence);
    expect(inOrder.map(({ status, amount, balanceNodes }) => [status, amount, balanceNodes])).toEqual([
      ["pending", "100", null],
      ["pending", "90", 1],
      ["credited", "90", 1],
      ["unlocked", "90", 1],
    ]);
  });

  it("E1: is kept as ignored where it is not listed", async () => {
    const carol = await rig.watch("carol");
    await pay(unlisted, carol);
    await rig.mineDeep();
    expect(await rig.summaryOf("carol")).toEqual([`ignored ${PAID} units (unlisted_asset)`]);
    expect(await rig.balancesOf("carol")).toEqual({});
  });

  it("E1: is kept as ignored where what arrives is below the minimum, and where nothing does", async () => {
    const dave = await rig.watch("dave");
    await pay(byBalance, dave, 55_000_000n); // 49.5 arrive, 50 is the least
    await rig.mineDeep();
    expect(await rig.summaryOf("dave")).toEqual(["ignored 49.5 FBL (below_minimum)"]);
    expect(rig.receiver.toldOf((await depositOf("dave")).id)).toEqual(["pending", "ignored"]);
    const erin = await rig.watch("erin");
    await pay(byBalance, erin);
    await rig.anvil.send({ to: byBalance, data: rebase(erin, 0n) });
    await rig.mineDeep();
    expect(await rig.summaryOf("erin")).toEqual(["ignored 0 FBL (nothing_arrived)"]);
    expect(await rig.balancesOf("erin")).toEqual({});
  });

  it("E1: shares what arrives of several payments in one block, and counts what was swept away in it", async () => {
    const wallet = rig.anvil.account(3);
    const frank = await rig.watch("frank", wallet.address);
    await pay(byBalance, frank, PAID);
    await pay(byBalance, frank, 2n * PAID);
    await rig.anvil.send({
      from: wallet,
      to: byBalance,
      data: transfer(addressOf("hot wallet"), 200_000_000n),
    });
    const block = await rig.anvil.mine();
    await rig.mineDeep();
    const deposits = await rig.depositsOf("frank");
    expect(deposits.map(({ blockNumber }) => BigInt(blockNumber))).toEqual([block.number, block.number]);
    expect(deposits.map(({ status, amount }) => `${status} ${amount}`).sort()).toEqual([
      "unlocked 180",
      "unlocked 90",
    ]);
    expect(await heldOf(byBalance, frank)).toBe(70_000_000n);
  });

  it("E1: is never counted for more than its event tells, whatever else the balance grew by", async () => {
    const grace = await rig.watch("grace");
    await pay(byBalance, grace);
    await rig.anvil.send({ to: byBalance, data: rebase(grace, 5_000_000_000n) });
    await rig.mineDeep();
    expect(await rig.balancesOf("grace")).toEqual({ FBL: [0n, PAID] });
  });

  it("E1: is measured anew on another branch", async () => {
    const heidi = await rig.watch("heidi");
    await rig.anvil.mine();
    const payment = await rig.anvil.sign({ to: byBalance, data: transfer(heidi, PAID) });
    const from = rig.anvil.account(4);
    const more = await rig.anvil.sign({ from, to: byBalance, data: rebase(heidi, PAID) });
    const point = await rig.anvil.forkPoint();
    await rig.anvil.mineBranch(point, [{ transactions: [payment] }, {}, {}, {}]);
    await rig.quiet();
    expect(await rig.summaryOf("heidi")).toEqual(["credited 90 FBL"]);
    await rig.anvil.mineBranch(point, [{ transactions: [payment, more] }, {}, {}, {}, {}]);
    await rig.quiet();
    expect(await rig.summaryOf("heidi")).toEqual(["unlocked 100 FBL"]);
    expect(await rig.balancesOf("heidi")).toEqual({ FBL: [0n, PAID] });
    expect(rig.receiver.toldOf((await depositOf("heidi")).id)).toEqual([
      "pending",
      "pending",
      "credited",
      "reversed",
      "pending",
      "credited",
      "unlocked",
    ]);
  });

  it("E1: waits while no node has the state of its block, holds nothing else up, and is credited when one has", async () => {
    const ivan = await rig.watch("ivan");
    proxy.lie(pruned, { methods: ["eth_call"] });
    await pay(byBalance, ivan);
    await rig.anvil.sendEth(ivan, 10n ** 18n);
    await rig.anvil.mine(8);
    await waitsFor("ivan", "balance to be measured (");
    await waitFor(async () => (await rig.summaryOf("ivan")).includes("unlocked 1 ETH"), {
      timeoutMs: 45_000,
      what: "the coins beside it to be unlocked",
    });
    expect((await rig.summaryOf("ivan")).sort()).toEqual(["pending 100 FBL", "unlocked 1 ETH"]);
    expect(await rig.balancesOf("ivan")).toEqual({ ETH: [0n, 10n ** 18n] });
    proxy.tellTruth();
    await rig.quiet();
    expect((await rig.summaryOf("ivan")).sort()).toEqual(["unlocked 1 ETH", "unlocked 90 FBL"]);
  });

  it("E1: is found and measured when its blocks are read by threads, long after", async () => {
    const judy = await rig.watch("judy");
    await rig.daemon.kill("SIGTERM");
    await pay(byBalance, judy);
    await rig.anvil.mine(300);
    await rig.daemon.start();
    await rig.quiet(90_000);
    expect(await rig.summaryOf("judy")).toEqual(["unlocked 90 FBL"]);
  });

  it("E1: shows in `verify --balances` what a fee makes of it by event, and nothing of it by balance", async () => {
    const { stdout, exitCode } = await rig.daemon.command("verify", "--balances", "--all", "--json");
    expect(exitCode).toBe(0);
    const [{ balances }] = (JSON.parse(stdout) as { chains: [{ balances: BalancesFound }] }).chains;
    const driftOf = (holder: Address) =>
      balances.drifts
        .filter(({ address }) => address.toLowerCase() === holder)
        .map(({ currency, driftBaseUnits }) => `${driftBaseUnits} ${currency}`);
    expect(driftOf(addressOf("user alice"))).toEqual(["-10000000 FEV"]);
    expect(driftOf(addressOf("user bob"))).toEqual([]);
    expect(driftOf(addressOf("user grace"))).toEqual(["4900000000 FBL"]);
    expect(balances).toMatchObject({ untoldCount: 0, lessCount: expect.any(Number) });
    expect(balances.even).toBeGreaterThanOrEqual(3);
  });

  it("E3: is what `doctor` asks its contract for, and its balances where those count", async () => {
    const { stdout } = await rig.daemon.command("doctor", "--json");
    expect(stdout).toContain("3, each as its contract says");
    proxy.lie(pruned, { methods: ["eth_call"] });
    const { findings } = JSON.parse((await rig.daemon.command("doctor", "--json")).stdout) as {
      findings: { part: string; level: string; found: string }[];
    };
    const told = findings.filter(({ part }) => part.endsWith(" FBL"));
    expect(told.map(({ level, found }) => [level, found.replace(/:.*/, "")])).toEqual([
      ["warn", "Its contract does not tell its decimals"],
      ["fail", "Balances are not told"],
    ]);
  });

  it("E1: counts by its event once an operator says so, where nobody can tell the balance any more", async () => {
    const kate = await rig.watch("kate");
    proxy.lie(pruned, { methods: ["eth_call"] });
    await pay(byBalance, kate);
    await rig.anvil.mine(8);
    await waitsFor("kate", "balance to be measured (");
    // Read again while the daemon runs.
    await rig.daemon.configure(
      withTokens(rig, [
        { currency: "FEV", address: byEvent },
        { currency: "FBL", address: byBalance, minimum: "50", amountFrom: "event" },
      ]),
    );
    await rig.quiet();
    proxy.tellTruth();
    expect(await depositOf("kate")).toMatchObject({ status: "unlocked", amount: "100", amountFrom: "event" });
  });

  it("E3: keeps the config in force when a token is added with other decimals than its contract's", async () => {
    const laura = await rig.watch("laura");
    const added = { currency: "NEW", address: unlisted };
    await rig.daemon.configure(withTokens(rig, [{ ...added, decimals: 18 }]));
    const isRefused = () =>
      rig.daemon
        .log()
        .some((line) => JSON.stringify(line).includes("says it has 6 decimals, the config says 18"));
    await waitFor(isRefused, { timeoutMs: 45_000, what: "the log that the changed config is refused" });
    await pay(byEvent, laura);
    await rig.mineDeep();
    expect(await rig.summaryOf("laura")).toEqual(["unlocked 100 FEV"]);
    await rig.daemon.configure(withTokens(rig, [{ ...added, decimals: 6 }]));
    const isTaken = () =>
      rig.daemon
        .log()
        .some((line) => line.msg === "Changed the config in force" && JSON.stringify(line).includes("NEW"));
    await waitFor(isTaken, { timeoutMs: 45_000, what: "the log that the mended config is in force" });
    await pay(unlisted, laura);
    await rig.mineDeep();
    expect(await rig.summaryOf("laura")).toEqual(["unlocked 100 FEV", "unlocked 100 NEW"]);
  });
});
