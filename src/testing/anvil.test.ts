import { encodeFunctionData, parseEther } from "viem";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Hash } from "../core/hex.ts";
import { type Anvil, startAnvil } from "./anvil.ts";
import { batcherAbi, contractCode, tokenAbi } from "./contracts.ts";

interface Receipt {
  readonly blockHash: Hash;
  readonly logs: readonly { logIndex: string }[];
}

const receiptOf = (chain: Anvil, hash: Hash) =>
  chain.request<Receipt | null>("eth_getTransactionReceipt", [hash]);

describe("the test chain", () => {
  let chain: Anvil;
  beforeAll(async () => {
    chain = await startAnvil({ mining: "manual", chainId: 4242, slotsInAnEpoch: 2 });
  }, 60_000);
  afterAll(() => chain.stop());

  it("mines only when told, and has the chain id it was given", async () => {
    const before = await chain.head();
    const hash = await chain.sendEth(chain.account(1).address, 1n);
    expect(await chain.client.getChainId()).toBe(4242);
    expect(await receiptOf(chain, hash)).toBeNull();
    expect((await chain.mine(3)).number).toBe(before.number + 3n);
    expect(await receiptOf(chain, hash)).not.toBeNull();
  });

  it("includes the same transaction again on another branch, behind others, with another log index", async () => {
    const token = await chain.deployToken();
    const to = chain.account(5).address;
    const data = encodeFunctionData({ abi: tokenAbi, functionName: "transfer", args: [to, 7n] });
    const ours = await chain.sign({ from: chain.account(1), to: token.address, data });
    const others = await chain.signAll(
      [1, 2].map(() => ({ from: chain.account(2), to: token.address, data })),
    );
    const point = await chain.forkPoint();

    const [a1] = await chain.mineBranch(point, [{ transactions: [ours] }]);
    const onA = await receiptOf(chain, ours.hash);
    const [b1, b2, b3] = await chain.mineBranch(point, [{}, { transactions: [...others, ours] }, {}]);
    const onB = await receiptOf(chain, ours.hash);

    expect(onA?.blockHash).toBe(a1?.hash);
    expect(onA?.logs[0]?.logIndex).toBe("0x0");
    expect(onB?.blockHash).toBe(b2?.hash);
    expect(onB?.logs[0]?.logIndex).toBe("0x2");
    expect(b1?.parentHash).toBe(a1?.parentHash);
    expect(b1?.hash).not.toBe(a1?.hash);
    expect((await chain.head()).hash).toBe(b3?.hash);
    expect(await chain.request("eth_getBlockByHash", [a1?.hash, false])).toBeNull();
  });

  it("pays someone else with the same nonce on another branch", async () => {
    const from = chain.account(3);
    const [first] = await chain.signAll([{ from, to: chain.account(6).address, valueWei: parseEther("1") }]);
    if (first === undefined) throw new Error("unreachable");
    const second = await chain.sign({
      from,
      to: chain.account(7).address,
      valueWei: parseEther("1"),
      nonce: first.nonce,
    });
    const point = await chain.forkPoint();
    await chain.mineBranch(point, [{ transactions: [first] }]);
    await chain.mineBranch(point, [{ transactions: [second] }, {}]);
    expect(await receiptOf(chain, first.hash)).toBeNull();
    expect(await receiptOf(chain, second.hash)).not.toBeNull();
  });

  it("comes back to a branch with the very same blocks when its timestamps are given", async () => {
    const point = await chain.forkPoint();
    const timestamp = point.block.timestamp + 10;
    const blocks = [{ timestamp }, { timestamp: timestamp + 1 }];
    const first = await chain.mineBranch(point, blocks);
    await chain.mineBranch(point, [{}, {}, {}]);
    const again = await chain.mineBranch(point, blocks);
    expect(again.map((block) => block.hash)).toEqual(first.map((block) => block.hash));
  });

  it("carries several payments in one transaction", async () => {
    const token = await chain.deployToken({ symbol: "EURX", decimals: 2 });
    const batcher = await chain.deploy(await contractCode("Batcher"));
    const zero = `0x${"0".repeat(40)}` as const;
    const to = chain.account(8).address;
    const approve = encodeFunctionData({ abi: tokenAbi, functionName: "approve", args: [batcher, 10n] });
    await chain.send({ to: token.address, data: approve });
    const payments = [token.address, token.address, zero].map((address) => ({
      token: address,
      to,
      value: 5n,
    }));
    const hash = await chain.send({
      to: batcher,
      valueWei: 5n,
      data: encodeFunctionData({ abi: batcherAbi, functionName: "pay", args: [payments] }),
    });
    await chain.mine();
    expect((await receiptOf(chain, hash))?.logs).toHaveLength(2);
  });
});

it("mines by itself every second when asked to", async () => {
  const chain = await startAnvil({ mining: { blockTimeSeconds: 1 } });
  try {
    const before = await chain.head();
    await expect
      .poll(async () => (await chain.head()).number, { timeout: 5_000 })
      .toBeGreaterThan(before.number);
    const point = await chain.forkPoint();
    const branch = await chain.mineBranch(point, [{}, {}]);
    await expect
      .poll(async () => (await chain.head()).number, { timeout: 5_000 })
      .toBeGreaterThan(branch[1]?.number ?? 0n);
  } finally {
    await chain.stop();
  }
}, 30_000);
