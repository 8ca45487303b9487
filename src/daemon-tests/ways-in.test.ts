/** Ways value arrives: against the whole daemon, with transactions that a real node executed. */
import {
  encodeAbiParameters,
  encodeDeployData,
  encodeFunctionData,
  keccak256,
  parseAbiParameters,
  parseSignature,
} from "viem";
import { afterAll, beforeAll, expect, it } from "vitest";
import { type Address, checksumAddress } from "../core/hex.ts";
import { batcherAbi, contractCode, multisigAbi, relayAbi, tokenAbi } from "../testing/contracts.ts";
import { addressOf } from "../testing/factory.ts";
import { describeOnEachQueue } from "./queue-backends.ts";
import { type Rig, startRig } from "./rig.ts";

const ETHER = 10n ** 18n;

describeOnEachQueue("ways value arrives", (backend) => {
  let rig: Rig;
  let batcher: Address;
  beforeAll(async () => {
    rig = await startRig({ redisUrl: await backend.start() });
    batcher = await rig.anvil.deploy(await contractCode("Batcher"));
    await approve(batcher, 10n ** 18n);
  });
  afterAll(async () => {
    await rig.stop();
    await backend.stop();
  });

  const approve = (spender: Address, value: bigint) =>
    rig.anvil.send({
      to: rig.token.address,
      data: encodeFunctionData({ abi: tokenAbi, functionName: "approve", args: [spender, value] }),
    });
  const pay = (payments: readonly { to: Address; value: bigint }[], valueWei = 0n) =>
    rig.anvil.send({
      to: batcher,
      valueWei,
      data: encodeFunctionData({
        abi: batcherAbi,
        functionName: "pay",
        args: [payments.map((payment) => ({ token: rig.token.address, ...payment }))],
      }),
    });

  const deployMultisig = async (owners: readonly Address[]) =>
    rig.anvil.deploy(
      encodeDeployData({ abi: multisigAbi, bytecode: await contractCode("Multisig"), args: [owners] }),
    );
  /** What the first account signs, for anybody to bring to the relay. */
  const signedPayment = async (relay: Address, to: Address, value: bigint) => {
    const holder = rig.anvil.account(0);
    const payment = encodeAbiParameters(parseAbiParameters("address, address, address, uint256, uint256"), [
      relay,
      rig.token.address,
      to,
      value,
      0n,
    ]);
    const signed = parseSignature(await holder.signMessage({ message: { raw: keccak256(payment) } }));
    return encodeFunctionData({
      abi: relayAbi,
      functionName: "pay",
      args: [rig.token.address, holder.address, to, value, 27 + signed.yParity, signed.r, signed.s],
    });
  };

  it("D1: finds a native transfer with calldata, once", async () => {
    const alice = await rig.watch("alice");
    await rig.anvil.send({ to: alice, valueWei: ETHER, data: "0x6f72646572203137" });
    await rig.mineDeep();
    expect(await rig.summaryOf("alice")).toEqual(["unlocked 1 ETH"]);
    expect(await rig.balancesOf("alice")).toEqual({ ETH: [0n, ETHER] });
  });

  it("D2: finds a token that came through a batcher and by transferFrom, once each", async () => {
    const bob = await rig.watch("bob");
    const spender = rig.anvil.account(3);
    await pay([{ to: bob, value: 1_000_000n }]);
    await rig.anvil.mine();
    await approve(spender.address, 2_000_000n);
    await rig.anvil.send({
      from: spender,
      to: rig.token.address,
      data: encodeFunctionData({
        abi: tokenAbi,
        functionName: "transferFrom",
        args: [rig.anvil.account(0).address, bob, 2_000_000n],
      }),
    });
    await rig.mineDeep();
    expect(await rig.summaryOf("bob")).toEqual(["unlocked 1 USDT", "unlocked 2 USDT"]);
    expect(await rig.balancesOf("bob")).toEqual({ USDT: [0n, 3_000_000n] });
  });

  it("D2: finds a token that a multisig pays once its second owner agrees, and one that a relay brings", async () => {
    const erin = await rig.watch("erin");
    const [holder, second, relayer] = [rig.anvil.account(0), rig.anvil.account(4), rig.anvil.account(5)];
    const multisig = await deployMultisig([holder.address, second.address]);
    await rig.anvil.transferToken(rig.token, multisig, 3_000_000n);
    for (const owner of [holder, second]) {
      await rig.anvil.send({
        from: owner,
        to: multisig,
        data: encodeFunctionData({
          abi: multisigAbi,
          functionName: "confirm",
          args: [rig.token.address, erin, 3_000_000n],
        }),
      });
      await rig.anvil.mine();
    }
    const relay = await rig.anvil.deploy(await contractCode("Relay"));
    await approve(relay, 4_000_000n);
    await rig.anvil.send({ from: relayer, to: relay, data: await signedPayment(relay, erin, 4_000_000n) });
    await rig.mineDeep();
    expect(await rig.summaryOf("erin")).toEqual(["unlocked 3 USDT", "unlocked 4 USDT"]);
    expect((await rig.depositsOf("erin")).map(({ from }) => from)).toEqual(
      [multisig, holder.address].map((address) => checksumAddress(address)),
    );
    expect(await rig.balancesOf("erin")).toEqual({ USDT: [0n, 7_000_000n] });
  });

  it("D6: makes one deposit of each transfer in a transaction, of equal amounts too", async () => {
    const carol = await rig.watch("carol");
    const dave = await rig.watch("dave");
    await pay([
      { to: carol, value: 7_000_000n },
      { to: dave, value: 7_000_000n },
      { to: carol, value: 7_000_000n },
      { to: carol, value: 1_000_000n },
    ]);
    await rig.mineDeep();
    const deposits = await rig.depositsOf("carol");
    expect(await rig.summaryOf("carol")).toEqual(["unlocked 7 USDT", "unlocked 7 USDT", "unlocked 1 USDT"]);
    expect(new Set(deposits.map((deposit) => deposit.id)).size).toBe(3);
    expect(new Set(deposits.map((deposit) => deposit.txHash)).size).toBe(1);
    expect(await rig.balancesOf("carol")).toEqual({ USDT: [0n, 15_000_000n] });
    expect(await rig.balancesOf("dave")).toEqual({ USDT: [0n, 7_000_000n] });
  });

  it("D7: finds both the native coin and the token of one transaction", async () => {
    // A contract as the watched address: it gets the transaction's own value, and a token within it.
    await rig.watch("vault", batcher);
    await pay([{ to: batcher, value: 4_000_000n }], ETHER);
    await rig.mineDeep();
    expect((await rig.summaryOf("vault")).sort()).toEqual(["unlocked 1 ETH", "unlocked 4 USDT"]);
    expect(await rig.balancesOf("vault")).toEqual({ ETH: [0n, ETHER], USDT: [0n, 4_000_000n] });
  });

  it("D12: finds once what came to an address while it was being registered", {
    timeout: 60_000,
  }, async () => {
    const races: { userId: string; blockNumber: bigint; cursorWhenAnswered: bigint }[] = [];
    for (let index = 0; index < 60; index++) {
      const userId = `racer-${index}`;
      races.push(await raceOnce(rig, userId));
    }
    await rig.mineDeep();
    const found = await Promise.all(races.map(({ userId }) => rig.depositsOf(userId)));
    const missed = races.filter((race, index) => {
      const count = found[index]?.length ?? 0;
      expect(count).toBeLessThanOrEqual(1);
      return count === 0 && race.cursorWhenAnswered < race.blockNumber;
    });
    expect(missed).toEqual([]);
    // The race must have been one: some registrations were answered after their block was mined, before its ingest.
    expect(found.flat().length).toBeGreaterThan(0);
  });
});

/** Sends, mines and registers at the same moment, and answers how far the cursor was once it was registered. */
async function raceOnce(rig: Rig, userId: string) {
  await rig.anvil.sendEth(addressOf(`user ${userId}`), ETHER / 100n);
  const [{ number: blockNumber }, cursorWhenAnswered] = await Promise.all([
    rig.anvil.mine(),
    rig.watch(userId).then(() => cursorOf(rig)),
  ]);
  return { userId, blockNumber, cursorWhenAnswered };
}

async function cursorOf(rig: Rig): Promise<bigint> {
  const [row] = await rig.test.database.query<{ cursor_number: bigint }>("SELECT cursor_number FROM chains");
  return row?.cursor_number ?? 0n;
}
