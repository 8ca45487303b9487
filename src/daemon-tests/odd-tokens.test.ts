/** Tokens that do other things than ERC-20 says, and logs that are none of theirs: against the whole daemon. */
import { encodeFunctionData, type Hex, pad } from "viem";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { MAX_UINT256 } from "../core/amount.ts";
import { NATIVE_LOG_ADDRESS } from "../core/chain.ts";
import { EVENT_TYPES } from "../core/event.ts";
import type { Address } from "../core/hex.ts";
import { batcherAbi, contractCode, forgerAbi, tokenAbi } from "../testing/contracts.ts";
import { addressOf } from "../testing/factory.ts";
import { listTokens } from "./list-tokens.ts";
import { type Rig, startRig } from "./rig.ts";

const ETHER = 10n ** 18n;
const PAYER = addressOf("a payer");
const DUST_TRANSFERS = 10_000;

describe("tokens that do other things than ERC-20 says", () => {
  let rig: Rig;
  /** Every token in here is listed, so that nothing is kept out only because it is not. */
  let refusing: Address;
  let forger: Address;
  let dust: Address;
  beforeAll(async () => {
    rig = await startRig({
      chain: { ownWallets: [OWN_WALLET] },
      events: EVENT_TYPES.filter((type) => /^deposit\.(?!ignored)/.test(type)),
    });
    refusing = await rig.anvil.deploy(await contractCode("RefusingToken"));
    forger = await rig.anvil.deploy(await contractCode("Forger"));
    dust = (await rig.anvil.deployToken({ symbol: "DST" })).address;
    await listTokens(rig, [
      { currency: "BAD", address: refusing },
      { currency: "ODD", address: forger },
      { currency: "DST", address: dust, minimum: "1" },
    ]);
  });
  afterAll(() => rig.stop());

  const succeeded = async (hash: Hex) => {
    const receipt = await rig.anvil.client.getTransactionReceipt({ hash });
    expect(receipt.status).toBe("success");
    return receipt;
  };
  const forge = (data: Hex) => rig.anvil.send({ to: forger, data });
  const raw = (to: Hex, data: Hex) =>
    forge(encodeFunctionData({ abi: forgerAbi, functionName: "raw", args: [pad(PAYER), to, data] }));

  it("A2: credits nothing of a transfer that answers false, succeeds and tells nothing", async () => {
    const alice = await rig.watch("alice");
    const hash = await rig.anvil.send({
      to: refusing,
      data: encodeFunctionData({ abi: tokenAbi, functionName: "transfer", args: [alice, 5_000_000n] }),
    });
    await rig.mineDeep();
    expect((await succeeded(hash)).logs).toEqual([]);
    expect(await rig.depositsOf("alice")).toEqual([]);
  });

  it("A10: credits nothing of ERC-721 and ERC-1155 transfers of a listed contract", async () => {
    const bob = await rig.watch("bob");
    const args = { abi: forgerAbi, functionName: "erc721", args: [PAYER, bob, 7n] } as const;
    const collectible = await forge(encodeFunctionData(args));
    const many = await forge(
      encodeFunctionData({ abi: forgerAbi, functionName: "erc1155", args: [PAYER, bob, 7n, 9n] }),
    );
    await rig.mineDeep();
    expect((await succeeded(collectible)).logs).toHaveLength(1);
    expect((await succeeded(many)).logs).toHaveLength(1);
    expect(await rig.depositsOf("bob")).toEqual([]);
  });

  it("A11: refuses un-indexed arguments, no data, short and long data, and dirty addresses; takes what is right", async () => {
    const carol = await rig.watch("carol");
    const amount = pad("0x4c4b40", { size: 32 }); // 5,000,000
    const sent = [
      await forge(
        encodeFunctionData({ abi: forgerAbi, functionName: "unindexed", args: [PAYER, carol, 5_000_000n] }),
      ),
      await raw(pad(carol), "0x"),
      await raw(pad(carol), `0x${"00".repeat(31)}`),
      await raw(pad(carol), `${amount}00`),
      await raw(`0xff${pad(carol).slice(4)}`, amount),
    ];
    await raw(pad(carol), amount);
    await rig.mineDeep();
    for (const hash of sent) expect((await succeeded(hash)).logs).toHaveLength(1);
    expect(await rig.summaryOf("carol")).toEqual(["unlocked 5 ODD"]);
    expect(await rig.balancesOf("carol")).toEqual({ ODD: [0n, 5_000_000n] });
  });

  it("A12, D8: credits mints of 2²⁵⁶−1 exactly, and totals beyond it", async () => {
    const dave = await rig.watch("dave");
    for (let index = 0; index < 3; index++) {
      await rig.anvil.send({
        to: rig.token.address,
        data: encodeFunctionData({ abi: tokenAbi, functionName: "mint", args: [dave, MAX_UINT256] }),
      });
    }
    await rig.mineDeep();
    const deposits = await rig.depositsOf("dave");
    expect(deposits.map(({ amountBaseUnits }) => amountBaseUnits)).toEqual(
      [1, 2, 3].map(() => MAX_UINT256.toString()),
    );
    expect(await rig.balancesOf("dave")).toEqual({ USDT: [0n, 3n * MAX_UINT256] });
  });

  it("A9: keeps gas that the merchant's own wallet sends as ignored, and tells nobody", async () => {
    const erin = await rig.watch("erin");
    await rig.anvil.sendEth(erin, ETHER, rig.anvil.account(9));
    await rig.mineDeep();
    expect(await rig.summaryOf("erin")).toEqual(["ignored 1 ETH (own_transfer)"]);
    expect(await rig.balancesOf("erin")).toEqual({});
    expect(rig.receiver.callbacks().filter(({ data }) => data.userId === "erin")).toEqual([]);
  });

  it("A8: keeps 10,000 transfers of dust in one block as ignored, beside a deposit that is credited as ever", {
    timeout: 120_000,
  }, async () => {
    const frank = await rig.watch("frank");
    const batcher = await rig.anvil.deploy(await contractCode("Batcher"));
    await rig.anvil.send({
      to: dust,
      data: encodeFunctionData({ abi: tokenAbi, functionName: "approve", args: [batcher, ETHER] }),
    });
    await rig.anvil.mine();
    const tenth = Array.from({ length: DUST_TRANSFERS / 10 }, () => ({ token: dust, to: frank, value: 1n }));
    for (let index = 0; index < 10; index++) {
      await rig.anvil.send({
        to: batcher,
        gas: 90_000_000n,
        data: encodeFunctionData({ abi: batcherAbi, functionName: "pay", args: [tenth] }),
      });
    }
    await rig.anvil.sendEth(frank, ETHER, rig.anvil.account(1));
    const block = await rig.anvil.mine();
    expect((await rig.anvil.client.getBlock({ blockNumber: block.number })).transactions).toHaveLength(11);
    await rig.mineDeep(90_000);
    const counts = await rig.test.database.query<{ status: string; count: number }>(
      "SELECT status, count(*)::int AS count FROM deposits WHERE user_id = 'frank' GROUP BY status ORDER BY status",
    );
    expect(counts).toEqual([
      { status: "ignored", count: DUST_TRANSFERS },
      { status: "unlocked", count: 1 },
    ]);
    // All of the block's deposits in one transaction, as the time they were detected at shows.
    const [detected] = await rig.test.database.query<{ times: number }>(
      "SELECT count(DISTINCT detected_at)::int AS times FROM deposits WHERE user_id = 'frank'",
    );
    expect(detected?.times).toBe(1);
    expect(await rig.balancesOf("frank")).toEqual({ ETH: [0n, ETHER] });
  });

  it("D15: counts a native transfer once that also writes its log as EIP-7708 says", async () => {
    await payWithNativeLog(rig, "grace");
    await rig.mineDeep();
    expect(await rig.summaryOf("grace")).toEqual(["unlocked 2 ETH"]);
    expect(await rig.balancesOf("grace")).toEqual({ ETH: [0n, 2n * ETHER] });
  });
});

describe("native.source: eip7708", () => {
  let rig: Rig;
  beforeAll(async () => {
    rig = await startRig({
      chain: {
        native: { currency: "ETH", decimals: 18, minimum: "0.001", internal: "none", source: "eip7708" },
      },
    });
  });
  afterAll(() => rig.stop());

  it("D15: finds native transfers by their logs alone, and none twice", async () => {
    await payWithNativeLog(rig, "alice");
    await rig.mineDeep();
    const deposits = await rig.depositsOf("alice");
    expect(deposits.map(({ status, amount, currency, token }) => [status, amount, currency, token])).toEqual([
      ["unlocked", "2", "ETH", null],
    ]);
    expect(deposits[0]?.source).toMatch(/^log:/);
    expect(await rig.balancesOf("alice")).toEqual({ ETH: [0n, 2n * ETHER] });
  });
});

/** The tenth of the node's accounts. */
const OWN_WALLET = "0xa0Ee7A142d267C1f36714E4a8F75612F20a79720";

/** 2 ETH to a watched contract, in a transaction that has the native coin's own log of it as well. */
async function payWithNativeLog(rig: Rig, userId: string): Promise<void> {
  const { anvil } = rig;
  const forger = await anvil.deploy(await contractCode("Forger"));
  await anvil.request("anvil_setCode", [
    NATIVE_LOG_ADDRESS,
    await anvil.request("eth_getCode", [forger, "latest"]),
  ]);
  const echo = await rig.watch(userId, await anvil.deploy(await contractCode("Echo")));
  const hash = await anvil.sendEth(echo, 2n * ETHER);
  await anvil.mine();
  const { logs } = await anvil.client.getTransactionReceipt({ hash });
  expect(logs.map(({ address }) => address.toLowerCase())).toEqual([NATIVE_LOG_ADDRESS]);
}
