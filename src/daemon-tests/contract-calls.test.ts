/** Value that contracts move, or only seem to move: the whole daemon where `internal: trace`. */
import { encodeDeployData, encodeFunctionData, getContractAddress, type Hex, pad } from "viem";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Address } from "../core/hex.ts";
import { contractCode, forwarderAbi, leaverAbi, makerAbi } from "../testing/contracts.ts";
import { type Rig, startRig, UNLOCK_DEPTH } from "./rig.ts";

const ETHER = 10n ** 18n;
const empty = (length: number) => Array.from({ length }, () => ({}));

describe("value moved by contracts", () => {
  let rig: Rig;
  let forwarder: Address;
  beforeAll(async () => {
    rig = await startRig({
      chain: { native: { currency: "ETH", decimals: 18, minimum: "0.001", internal: "trace" } },
    });
    forwarder = await rig.anvil.deploy(await contractCode("Forwarder"));
  });
  afterAll(() => rig.stop());

  const forward = (functionName: "forward" | "forwardAndRevertInside" | "showWithoutMoving", to: Address) =>
    rig.anvil.send({
      to: forwarder,
      valueWei: ETHER,
      data: encodeFunctionData({ abi: forwarderAbi, functionName, args: [to] }),
    });
  const succeeded = async (hash: Hex) => {
    expect((await rig.anvil.client.getTransactionReceipt({ hash })).status).toBe("success");
  };
  const deployLeaver = async (valueWei: bigint) =>
    rig.anvil.deploy(encodeDeployData({ abi: leaverAbi, bytecode: await contractCode("Leaver") }), valueWei);
  const departure = (to: Address) =>
    encodeFunctionData({ abi: leaverAbi, functionName: "depart", args: [to] });

  it("D3: credits native value from inside a contract call, once", async () => {
    const alice = await rig.watch("alice");
    await forward("forward", alice);
    await rig.mineDeep();
    expect(await rig.summaryOf("alice")).toEqual(["unlocked 1 ETH"]);
    expect((await rig.depositsOf("alice")).map(({ source }) => source)).toEqual(["trace:0"]);
    expect(await rig.balancesOf("alice")).toEqual({ ETH: [0n, ETHER] });
  });

  it("A5: credits nothing of an inner call that reverted while its transaction succeeded", async () => {
    const bob = await rig.watch("bob");
    const hash = await forward("forwardAndRevertInside", bob);
    await rig.mineDeep();
    await succeeded(hash);
    expect(await rig.depositsOf("bob")).toEqual([]);
  });

  it("A6: credits nothing of DELEGATECALL, CALLCODE and STATICCALL frames that show a value", async () => {
    const carol = await rig.watch("carol");
    const hash = await forward("showWithoutMoving", carol);
    await rig.mineDeep();
    await succeeded(hash);
    expect(await rig.depositsOf("carol")).toEqual([]);
  });

  it("D4: credits what a contract leaves behind by SELFDESTRUCT, once", async () => {
    const dave = await rig.watch("dave");
    const leaver = await deployLeaver(2n * ETHER);
    await rig.anvil.send({ to: leaver, data: departure(dave) });
    await rig.mineDeep();
    expect(await rig.summaryOf("dave")).toEqual(["unlocked 2 ETH"]);
    expect(await rig.balancesOf("dave")).toEqual({ ETH: [0n, 2n * ETHER] });
  });

  it("D9: credits what funds a watched contract before its code exists, with its creation, and after", async () => {
    const maker = await rig.anvil.deploy(await contractCode("Maker"));
    const salt = pad("0x17", { size: 32 });
    const vault = getContractAddress({
      from: maker,
      opcode: "CREATE2",
      salt,
      bytecode: await contractCode("Vault"),
    }).toLowerCase() as Address;
    await rig.watch("erin", vault);
    await rig.anvil.sendEth(vault, ETHER);
    await rig.anvil.mine();
    await rig.anvil.send({
      to: maker,
      valueWei: 2n * ETHER,
      data: encodeFunctionData({ abi: makerAbi, functionName: "make", args: [salt] }),
    });
    await rig.anvil.mine();
    // A vault takes no plain payment; what another contract leaves behind cannot be refused.
    const leaver = await deployLeaver(4n * ETHER);
    await rig.anvil.send({ to: leaver, data: departure(vault) });
    await rig.mineDeep();
    expect(await rig.summaryOf("erin")).toEqual(["unlocked 1 ETH", "unlocked 2 ETH", "unlocked 4 ETH"]);
    expect(await rig.balancesOf("erin")).toEqual({ ETH: [0n, 7n * ETHER] });
  });

  it("D9: credits the value of a transaction that makes a watched contract", async () => {
    const sender = rig.anvil.account(5);
    const nonce = await rig.anvil.client.getTransactionCount({ address: sender.address });
    const contract = getContractAddress({ from: sender.address, nonce: BigInt(nonce) }).toLowerCase();
    await rig.watch("frank", contract as Address);
    await rig.anvil.send({ from: sender, to: null, data: await contractCode("Vault"), valueWei: ETHER });
    await rig.mineDeep();
    expect(await rig.summaryOf("frank")).toEqual(["unlocked 1 ETH"]);
  });

  it("B6: lets the amount of the new branch count when the same transaction moves another one there", async () => {
    const grace = await rig.watch("grace");
    const leaver = await deployLeaver(0n);
    const small = await gift(ETHER, leaver);
    const large = await gift(5n * ETHER, leaver);
    const depart = await rig.anvil.sign({ from: rig.anvil.account(8), to: leaver, data: departure(grace) });
    const point = await rig.anvil.forkPoint();
    await rig.anvil.mineBranch(point, [{ transactions: [small, depart] }, ...empty(2)]);
    await rig.quiet();
    const [first] = await rig.depositsOf("grace");
    expect(first).toMatchObject({ status: "credited", amount: "1", txHash: depart.hash });
    await rig.anvil.mineBranch(point, [{ transactions: [large, depart] }, ...empty(UNLOCK_DEPTH)]);
    await rig.quiet();
    const deposits = await rig.depositsOf("grace");
    expect(deposits).toHaveLength(1);
    expect(deposits[0]).toMatchObject({ id: first?.id, status: "unlocked", amount: "5" });
    expect(await rig.balancesOf("grace")).toEqual({ ETH: [0n, 5n * ETHER] });
  });

  /** A creation whose contract destroys itself at once in favour of another: the only way to fund a leaver. */
  function gift(valueWei: bigint, to: Address) {
    // PUSH20 <to> SELFDESTRUCT
    return rig.anvil.sign({ from: rig.anvil.account(7), to: null, valueWei, data: `0x73${to.slice(2)}ff` });
  }
});
