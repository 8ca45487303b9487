/** One daemon, two chains, one address: each deposit is of its own chain. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Anvil, startAnvil } from "../testing/anvil.ts";
import { chainOf } from "../testing/daemon-config.ts";
import type { TestToken } from "../testing/test-node.ts";
import { waitFor } from "../testing/wait-for.ts";
import { type Rig, startRig, UNLOCK_DEPTH } from "./rig.ts";

const ETHER = 10n ** 18n;
const OTHER_CHAIN = 4242;

describe("one address on two chains", () => {
  let rig: Rig;
  let other: Anvil;
  /** Not listed, at the address of the first chain's token. */
  let twin: TestToken;
  /** The same currency as there, with other decimals. */
  let usdt: TestToken;
  beforeAll(async () => {
    other = await startAnvil({ mining: "manual", chainId: OTHER_CHAIN });
    rig = await startRig();
    twin = await other.deployToken();
    usdt = await other.deployToken({ decimals: 18 });
    const tokens = [{ currency: "USDT", address: usdt.address, decimals: 18, minimum: "1" }];
    await rig.daemon.kill("SIGTERM");
    await rig.daemon.configure({ ...rig.config, chains: [...rig.config.chains, chainOf(other, { tokens })] });
    await rig.daemon.start();
  });
  afterAll(async () => {
    await rig.stop();
    await other.stop();
  });

  it("D11: credits each deposit on its own chain, though transactions and blocks are alike", async () => {
    const alice = await rig.watch("alice");
    // Contracts at the same address, the same sender, amount and nonce: only the chain tells them apart.
    expect(twin.address).toBe(rig.token.address);
    await rig.anvil.sendEth(alice, ETHER, rig.anvil.account(5));
    await other.sendEth(alice, ETHER, other.account(5));
    await other.sendEth(alice, 2n * ETHER, other.account(5));
    await other.transferToken(twin, alice, 7_000_000n, other.account(6));
    await rig.anvil.mine(1);
    await waitFor(async () => (await rig.depositsOf("alice")).length === 1, {
      what: "it to be pending here",
    });
    const unlocked = async () =>
      (await rig.depositsOf("alice")).flatMap(({ chainId, status }) =>
        status === "unlocked" ? chainId : [],
      );
    // Deeper there than anything here: a chain's cursor says nothing of another's deposits.
    await other.mine(100);
    await waitFor(async () => (await unlocked()).length >= 2, {
      timeoutMs: 45_000,
      what: "the other chain's to be unlocked",
    });
    expect(await unlocked()).toEqual([OTHER_CHAIN, OTHER_CHAIN]);
    await rig.mineDeep();
    await waitFor(async () => (await unlocked()).length === 3, {
      timeoutMs: 45_000,
      what: "three unlocked deposits",
    });
    await rig.quiet();
    const deposits = await rig.depositsOf("alice");
    const essence = deposits.map(({ chainId, status, amount, reason }) => [chainId, status, amount, reason]);
    expect(essence.sort()).toEqual([
      [rig.anvil.chainId, "unlocked", "1", null],
      [OTHER_CHAIN, "ignored", null, "unlisted_asset"],
      [OTHER_CHAIN, "unlocked", "1", null],
      [OTHER_CHAIN, "unlocked", "2", null],
    ]);
    expect(new Set(deposits.map(({ id }) => id)).size).toBe(4);
    const { assets, currencies } = await rig.api.balances("alice");
    expect(assets.map(({ chainId, available }) => [chainId, available]).sort()).toEqual([
      [rig.anvil.chainId, "1"],
      [OTHER_CHAIN, "3"],
    ]);
    expect(currencies).toMatchObject([{ currency: "ETH", available: "4", locked: "0" }]);
  });

  it("E2: keeps a currency that has other decimals on another chain, exact per asset and added up", async () => {
    const carol = await rig.watch("carol");
    await rig.anvil.transferToken(rig.token, carol, 1_500_000n, rig.anvil.account(2));
    await other.transferToken(usdt, carol, 2_250_000_000_000_000_001n, other.account(2));
    await other.mine(UNLOCK_DEPTH);
    await rig.mineDeep();
    await waitFor(
      async () => (await rig.depositsOf("carol")).filter(({ status }) => status === "unlocked").length === 2,
      { timeoutMs: 45_000, what: "two unlocked deposits" },
    );
    const { assets, currencies } = await rig.api.balances("carol");
    expect(assets.map((asset) => [asset.chainId, asset.decimals, asset.available]).sort()).toEqual([
      [rig.anvil.chainId, 6, "1.5"],
      [OTHER_CHAIN, 18, "2.250000000000000001"],
    ]);
    expect(currencies).toMatchObject([{ currency: "USDT", available: "3.750000000000000001" }]);
  });

  it("D11: takes back on one chain what a reorg removes there, and leaves the other alone", async () => {
    const bob = await rig.watch("bob");
    const here = await rig.anvil.sign({ from: rig.anvil.account(7), to: bob, valueWei: ETHER });
    const there = await other.sign({ from: other.account(7), to: bob, valueWei: ETHER });
    const point = await rig.anvil.forkPoint();
    await rig.anvil.mineBranch(point, [{ transactions: [here] }, {}, {}]);
    await other.mineBlock({ transactions: [there] });
    await other.mine(UNLOCK_DEPTH);
    await rig.quiet();
    await rig.anvil.mineBranch(point, [{}, {}, {}, {}]);
    await rig.quiet();
    await waitFor(
      async () => {
        const deposits = await rig.depositsOf("bob");
        const essence = deposits.map(({ chainId, status }) => `${chainId} ${status}`).sort();
        return essence.join() === `${rig.anvil.chainId} reversed,${OTHER_CHAIN} unlocked`;
      },
      { timeoutMs: 45_000, what: "one reversed and one unlocked deposit" },
    );
  });
});
