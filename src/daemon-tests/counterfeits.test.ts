/** Deposits that are not there: against the whole daemon, with transactions that a real node executed. */
import { encodeFunctionData } from "viem";
import { afterAll, beforeAll, expect, it } from "vitest";
import { contractCode, forgerAbi, tokenAbi } from "../testing/contracts.ts";
import { addressOf } from "../testing/factory.ts";
import { describeOnEachQueue } from "./queue-backends.ts";
import { type Rig, startRig } from "./rig.ts";

const ETHER = 10n ** 18n;

describeOnEachQueue("deposits that are not there", (backend) => {
  let rig: Rig;
  beforeAll(async () => {
    rig = await startRig({ redisUrl: await backend.start() });
  });
  afterAll(async () => {
    await rig.stop();
    await backend.stop();
  });

  it("A1: credits nothing of a native transfer that failed beside an unrelated token log", async () => {
    const { anvil, token } = rig;
    // A contract without a way to receive: whoever sends it coins fails.
    const refusing = await anvil.deploy(await contractCode("RefusingToken"));
    await rig.watch("refusing", refusing);
    const failing = await anvil.sign({ to: refusing, valueWei: ETHER, gas: 100_000n });
    const unrelated = await anvil.sign({
      from: anvil.account(1),
      to: token.address,
      data: encodeFunctionData({
        abi: tokenAbi,
        functionName: "transfer",
        args: [addressOf("a stranger"), 5_000_000n],
      }),
    });
    await anvil.mineBlock({ transactions: [failing, unrelated] });
    expect((await anvil.client.getTransactionReceipt({ hash: failing.hash })).status).toBe("reverted");
    await rig.mineDeep();
    expect(await rig.depositsOf("refusing")).toEqual([]);
    expect(await rig.balancesOf("refusing")).toEqual({});
  });

  it("A3: keeps a look-alike token as ignored, and credits only the listed contract", async () => {
    const { anvil, token } = rig;
    const alice = await rig.watch("alice");
    const lookAlike = await anvil.deployToken({ name: "Tether USD", symbol: "USDT", decimals: 6 });
    await anvil.transferToken(lookAlike, alice, 1_000_000n);
    await anvil.mine();
    await anvil.transferToken(token, alice, 2_000_000n);
    await rig.mineDeep();
    expect(await rig.summaryOf("alice")).toEqual([
      "ignored 1000000 units (unlisted_asset)",
      "unlocked 2 USDT",
    ]);
    expect(await rig.balancesOf("alice")).toEqual({ USDT: [0n, 2_000_000n] });
  });

  it("A4: counts only the real unit of a transaction that also emits a forged Transfer of 10¹²", async () => {
    const { anvil, token } = rig;
    const bob = await rig.watch("bob");
    const forger = await anvil.deploy(await contractCode("Forger"));
    await anvil.send({
      to: token.address,
      data: encodeFunctionData({ abi: tokenAbi, functionName: "approve", args: [forger, 1n] }),
    });
    await anvil.send({
      to: forger,
      data: encodeFunctionData({
        abi: forgerAbi,
        functionName: "forgeBeside",
        args: [token.address, bob, 1n, 10n ** 12n],
      }),
    });
    await rig.mineDeep();
    expect(await rig.summaryOf("bob")).toEqual([
      "ignored 1000000000000 units (unlisted_asset)",
      "unlocked 0.000001 USDT",
    ]);
    expect(await rig.balancesOf("bob")).toEqual({ USDT: [0n, 1n] });
  });

  it("A7: makes no deposit and no callback of a transfer of nothing", async () => {
    const { anvil, token, receiver } = rig;
    const carol = await rig.watch("carol");
    const poison = await anvil.send({
      to: token.address,
      data: encodeFunctionData({
        abi: tokenAbi,
        functionName: "transferFrom",
        args: [anvil.account(2).address, carol, 0n],
      }),
    });
    await rig.mineDeep();
    const receipt = await anvil.client.getTransactionReceipt({ hash: poison });
    expect([receipt.status, receipt.logs.length]).toEqual(["success", 1]);
    expect(await rig.depositsOf("carol")).toEqual([]);
    expect(receiver.callbacks().filter(({ data }) => data.userId === "carol")).toEqual([]);
  });
});
