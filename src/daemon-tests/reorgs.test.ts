/** Reorgs: real competing branches of a real node, seen by the whole daemon. */
import { encodeFunctionData } from "viem";
import { afterAll, beforeAll, expect, it } from "vitest";
import type { Address } from "../core/hex.ts";
import { tokenAbi } from "../testing/contracts.ts";
import { addressOf } from "../testing/factory.ts";
import { describeOnEachQueue } from "./queue-backends.ts";
import { CREDIT_DEPTH, type Rig, startRig, UNLOCK_DEPTH } from "./rig.ts";

const ETHER = 10n ** 18n;
const EMPTY = {};
const empty = (count: number) => Array.from({ length: count }, () => EMPTY);

describeOnEachQueue("reorgs", (backend) => {
  let rig: Rig;
  beforeAll(async () => {
    rig = await startRig({ redisUrl: await backend.start() });
  });
  afterAll(async () => {
    await rig.stop();
    await backend.stop();
  });

  const tokenTransfer = (to: Address, value: bigint, fromAccount: number) =>
    rig.anvil.sign({
      from: rig.anvil.account(fromAccount),
      to: rig.token.address,
      data: encodeFunctionData({ abi: tokenAbi, functionName: "transfer", args: [to, value] }),
    });
  const onlyDepositOf = async (userId: string) => {
    const deposits = await rig.depositsOf(userId);
    expect(deposits).toHaveLength(1);
    const [deposit] = deposits;
    if (deposit === undefined) throw new Error(`${userId} has no deposit`);
    return deposit;
  };

  it("B1: orphans a pending deposit that leaves by a reorg of one block, and tells so", async () => {
    const { anvil, receiver } = rig;
    const alice = await rig.watch("alice");
    const payment = await anvil.sign({ to: alice, valueWei: ETHER });
    const point = await anvil.forkPoint();
    await anvil.mineBranch(point, [{ transactions: [payment] }]);
    await rig.caughtUp();
    const seen = await onlyDepositOf("alice");
    expect(seen.status).toBe("pending");

    // One block against one block: the new branch is not even longer.
    await anvil.mineBranch(point, empty(1));
    await rig.caughtUp();
    const told = await receiver.untilTold(seen.id, "orphaned");
    expect(told.data).toMatchObject({ status: "orphaned", confirmations: 0, sequence: 2 });
    await anvil.mine(UNLOCK_DEPTH);
    await rig.quiet();
    expect((await onlyDepositOf("alice")).status).toBe("orphaned");
    expect(receiver.toldOf(seen.id)).toEqual(["pending", "orphaned"]);
    expect(await rig.balancesOf("alice")).toEqual({});
  });

  it("B2: keeps one deposit with the same id when its transaction is included again behind others", async () => {
    const { anvil, receiver } = rig;
    const bob = await rig.watch("bob");
    const payment = await tokenTransfer(bob, 3_000_000n, 1);
    const others = await Promise.all(
      [2, 3, 4].map((sender) => tokenTransfer(addressOf("nobody"), 1n, sender)),
    );
    const logIndex = async () => {
      const { logs } = await anvil.client.getTransactionReceipt({ hash: payment.hash });
      return logs[0]?.logIndex;
    };
    const point = await anvil.forkPoint();
    await anvil.mineBranch(point, [{ transactions: [payment] }]);
    await rig.caughtUp();
    const seen = await onlyDepositOf("bob");
    expect(await logIndex()).toBe(0);

    const [block] = await anvil.mineBranch(point, [
      { transactions: [...others, payment] },
      ...empty(UNLOCK_DEPTH),
    ]);
    await rig.quiet();
    expect(await logIndex()).toBe(3);
    const again = await onlyDepositOf("bob");
    expect(again).toMatchObject({ id: seen.id, status: "unlocked", blockHash: block?.hash });
    expect(again.blockHash).not.toBe(seen.blockHash);
    expect(receiver.toldOf(seen.id)).toEqual(["pending", "orphaned", "pending", "credited", "unlocked"]);
    expect(await rig.balancesOf("bob")).toEqual({ USDT: [0n, 3_000_000n] });
  });

  it("B3: keeps one deposit that is included again at the same number under another hash", async () => {
    const { anvil, receiver } = rig;
    const erin = await rig.watch("erin");
    const payment = await anvil.sign({ from: anvil.account(7), to: erin, valueWei: ETHER });
    const point = await anvil.forkPoint();
    await anvil.mineBranch(point, [{ transactions: [payment] }]);
    await rig.caughtUp();
    const seen = await onlyDepositOf("erin");
    const [block] = await anvil.mineBranch(point, [{ transactions: [payment] }, ...empty(UNLOCK_DEPTH)]);
    await rig.quiet();
    const again = await onlyDepositOf("erin");
    expect(again).toMatchObject({
      id: seen.id,
      status: "unlocked",
      blockNumber: seen.blockNumber,
      blockHash: block?.hash,
    });
    expect(again.blockHash).not.toBe(seen.blockHash);
    expect(receiver.toldOf(seen.id)).toEqual(["pending", "orphaned", "pending", "credited", "unlocked"]);
    expect(await rig.balancesOf("erin")).toEqual({ ETH: [0n, ETHER] });
  });

  it("B7: takes a chain that got shorter than the cursor for a reorg", async () => {
    const { anvil, receiver } = rig;
    const frank = await rig.watch("frank");
    const payment = await anvil.sign({ from: anvil.account(8), to: frank, valueWei: ETHER });
    const point = await anvil.forkPoint();
    await anvil.mineBranch(point, [{}, { transactions: [payment] }, ...empty(CREDIT_DEPTH)]);
    await rig.quiet();
    const credited = await onlyDepositOf("frank");
    expect(credited.status).toBe("credited");
    const [only] = await anvil.mineBranch(point, empty(1));
    await rig.quiet();
    const [chain] = await rig.test.database.query<{ cursor_number: bigint }>(
      "SELECT cursor_number FROM chains",
    );
    expect(chain?.cursor_number).toBe(only?.number);
    expect(receiver.toldOf(credited.id)).toEqual(["pending", "credited", "reversed"]);
    expect(await rig.balancesOf("frank")).toEqual({ ETH: [0n, 0n] });
    // It grows again, without the payment and past where it was.
    await rig.mineDeep();
    expect((await onlyDepositOf("frank")).status).toBe("reversed");
  });

  it("B12: ends as the chain ends when branches flip five times, and tells each move once and in order", async () => {
    const { anvil, receiver } = rig;
    const grace = await rig.watch("grace");
    const payment = await anvil.sign({ from: anvil.account(9), to: grace, valueWei: ETHER });
    const point = await anvil.forkPoint();
    for (let flip = 0; flip < 5; flip++) {
      const transactions = flip % 2 === 0 ? [payment] : [];
      await anvil.mineBranch(point, [{ transactions }, ...empty(CREDIT_DEPTH - 1)]);
      await rig.quiet();
      const { status } = await onlyDepositOf("grace");
      expect(status).toBe(flip % 2 === 0 ? "credited" : "reversed");
    }
    await rig.mineDeep();
    const round = ["pending", "credited", "reversed"];
    const { id, sequence } = await onlyDepositOf("grace");
    expect(receiver.toldOf(id)).toEqual([...round, ...round, "pending", "credited", "unlocked"]);
    const told = receiver.callbacks().filter(({ data }) => data.id === id);
    const bySequence = new Map(told.map((callback) => [callback.data.sequence, callback.id]));
    expect([...bySequence.keys()].sort((a, b) => a - b)).toEqual(
      Array.from({ length: sequence }, (_, index) => index + 1),
    );
    // Each move is one callback, however often it is sent.
    expect(new Set(told.map((callback) => callback.id)).size).toBe(sequence);
    const { history } = await rig.api.deposit(id);
    expect(history).toHaveLength(sequence);
    expect(await rig.balancesOf("grace")).toEqual({ ETH: [0n, ETHER] });
  });

  it("B4: reverses a credited and an unlocked deposit, and credits by a new entry what comes back", async () => {
    const { anvil, receiver } = rig;
    const carol = await rig.watch("carol");
    const dave = await rig.watch("dave");
    const unlockedFirst = await anvil.sign({ from: anvil.account(5), to: dave, valueWei: 2n * ETHER });
    const credited = await anvil.sign({ from: anvil.account(6), to: carol, valueWei: ETHER });
    const point = await anvil.forkPoint();
    await anvil.mineBranch(point, [
      { transactions: [unlockedFirst] },
      ...empty(UNLOCK_DEPTH - CREDIT_DEPTH - 1),
      { transactions: [credited] },
      ...empty(CREDIT_DEPTH - 1),
    ]);
    await rig.quiet();
    expect(await rig.balancesOf("carol")).toEqual({ ETH: [ETHER, 0n] });
    expect(await rig.balancesOf("dave")).toEqual({ ETH: [0n, 2n * ETHER] });

    await anvil.mineBranch(point, empty(UNLOCK_DEPTH + 1));
    await rig.quiet();
    const gone = await onlyDepositOf("carol");
    expect(gone.status).toBe("reversed");
    expect((await onlyDepositOf("dave")).status).toBe("reversed");
    expect(receiver.toldOf(gone.id)).toEqual(["pending", "credited", "reversed"]);
    expect(await rig.balancesOf("carol")).toEqual({ ETH: [0n, 0n] });
    expect(await rig.balancesOf("dave")).toEqual({ ETH: [0n, 0n] });

    await anvil.mineBlock({ transactions: [credited] });
    await rig.mineDeep();
    const back = await onlyDepositOf("carol");
    expect(back).toMatchObject({ id: gone.id, status: "unlocked", sequence: 6 });
    expect(receiver.toldOf(gone.id).slice(3)).toEqual(["pending", "credited", "unlocked"]);
    expect(await rig.balancesOf("carol")).toEqual({ ETH: [0n, ETHER] });
    expect((await onlyDepositOf("dave")).status).toBe("reversed");
  });
});
