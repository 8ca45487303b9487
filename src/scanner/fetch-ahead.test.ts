import { describe, expect, it } from "vitest";
import { TemporaryError } from "../core/errors.ts";
import { UNVERIFIED } from "../core/verification.ts";
import type { ChainNodes } from "../rpc/chain-nodes.ts";
import type { FetchedBlock } from "../rpc/fetched-block.ts";
import { systemClock } from "../runtime/clock.ts";
import { startAnvil } from "../testing/anvil.ts";
import { blockOf } from "../testing/factory.ts";
import { testNodes } from "../testing/nodes.ts";
import { waitFor } from "../testing/wait-for.ts";
import { fetchAhead } from "./fetch-ahead.ts";

const whole = (block: FetchedBlock): FetchedBlock => block;

type Nodes = Pick<ChainNodes, "blockByNumber">;

function block(number: number, branch = "A", parentBranch = branch): FetchedBlock {
  return {
    header: blockOf(number, branch, parentBranch),
    verification: UNVERIFIED,
    transactions: [],
    receipts: [],
    withdrawals: [],
    traces: null,
  };
}

/** Nodes that answer when they are told to, in any order. */
function heldNodes() {
  const waiting = new Map<
    number,
    { give(given: FetchedBlock): void; fail(error: Error): void; signal: AbortSignal }
  >();
  let most = 0;
  const nodes: Nodes = {
    blockByNumber: (number, signal = new AbortController().signal) =>
      new Promise((resolve, reject) => {
        const leave = () => waiting.delete(Number(number));
        waiting.set(Number(number), {
          give: (given) => {
            leave();
            resolve(given);
          },
          fail: (error) => {
            leave();
            reject(error);
          },
          signal,
        });
        signal.addEventListener("abort", () => reject(signal.reason), { once: true });
        most = Math.max(most, waiting.size);
      }),
  };
  return { nodes, waiting, most: () => most };
}

const collect = async (blocks: AsyncIterable<FetchedBlock>) => {
  const numbers: number[] = [];
  for await (const each of blocks) numbers.push(Number(each.header.number));
  return numbers;
};

const range = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, index) => from + index);

/** Always the same: a failing order can be had again. */
function shuffled<Item>(items: readonly Item[], seed: number): Item[] {
  let state = seed;
  const next = () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state;
  };
  return items
    .map((item) => ({ item, key: next() }))
    .sort((a, b) => a.key - b.key)
    .map(({ item }) => item);
}

describe("fetching ahead", () => {
  it.each([1, 2, 3, 4, 5])("hands out blocks in order, whatever order they arrive in (%i)", async (seed) => {
    const { nodes, waiting, most } = heldNodes();
    const collecting = collect(fetchAhead(nodes, { from: 1n, to: 40n, concurrency: 7 }, whole));
    while (waiting.size > 0 || most() === 0) {
      const [number] = shuffled([...waiting.keys()], seed + waiting.size);
      if (number !== undefined) waiting.get(number)?.give(block(number));
      await systemClock.sleep(0);
    }
    expect(await collecting).toEqual(range(1, 40));
    expect(most()).toBe(7);
  });

  it("asks for no more than four times as many while its consumer is busy", async () => {
    const { nodes, waiting, most } = heldNodes();
    const blocks = fetchAhead(nodes, { from: 1n, to: 100n, concurrency: 3 }, whole);
    const first = blocks.next();
    const giveAll = async () => {
      for (const [number, { give }] of waiting) give(block(number));
      await systemClock.sleep(0);
    };
    await waitFor(() => waiting.size === 3);
    while (waiting.size > 0) await giveAll();
    expect((await first).value?.header.number).toBe(1n);
    // The first left its place to the thirteenth; the second, when it is taken, leaves its own to the next.
    expect((await blocks.next()).value?.header.number).toBe(2n);
    await waitFor(() => waiting.size > 0);
    expect([...waiting.keys()]).toEqual([14]);
    expect(most()).toBe(3);
    await blocks.return();
  });

  it("is not held up by one block that comes late", async () => {
    const { nodes, waiting } = heldNodes();
    const blocks = fetchAhead(nodes, { from: 1n, to: 6n, concurrency: 2 }, whole);
    const first = blocks.next();
    for (const number of [2, 3, 4, 5, 6]) {
      await waitFor(() => waiting.has(number));
      waiting.get(number)?.give(block(number));
    }
    waiting.get(1)?.give(block(1));
    expect((await first).value?.header.number).toBe(1n);
    expect(await collect(blocks)).toEqual([2, 3, 4, 5, 6]);
  });

  it("throws a block's failure in its turn, and cancels the rest", async () => {
    const { nodes, waiting } = heldNodes();
    const blocks = fetchAhead(nodes, { from: 1n, to: 10n, concurrency: 4 }, whole);
    const first = blocks.next();
    await waitFor(() => waiting.size === 4);
    const last = waiting.get(4)?.signal;
    waiting.get(2)?.fail(new TemporaryError("node_unreachable", "gone"));
    waiting.get(1)?.give(block(1));
    expect((await first).value?.header.number).toBe(1n);
    await expect(blocks.next()).rejects.toMatchObject({ code: "node_unreachable" });
    expect(last?.aborted).toBe(true);
    expect((await blocks.next()).done).toBe(true);
  });

  it("cancels the rest when its consumer leaves", async () => {
    const { nodes, waiting } = heldNodes();
    const blocks = fetchAhead(nodes, { from: 1n, to: 10n, concurrency: 4 }, whole);
    const first = blocks.next();
    await waitFor(() => waiting.size === 4);
    const last = waiting.get(4)?.signal;
    waiting.get(1)?.give(block(1));
    await first;
    await blocks.return();
    expect(last?.aborted).toBe(true);
  });

  it("ends with the signal's reason", async () => {
    const { nodes } = heldNodes();
    const stop = new AbortController();
    const collecting = collect(
      fetchAhead(nodes, { from: 1n, to: 10n, concurrency: 4, signal: stop.signal }, whole),
    );
    stop.abort(new Error("stopped"));
    await expect(collecting).rejects.toThrow("stopped");
  });

  it("C4: refuses a block that is not the child of the one before", async () => {
    const nodes: Nodes = { blockByNumber: async (number) => block(Number(number), number < 4n ? "A" : "B") };
    const seen: bigint[] = [];
    const reading = async () => {
      for await (const each of fetchAhead(nodes, { from: 1n, to: 9n, concurrency: 2 }, whole))
        seen.push(each.header.number);
    };
    await expect(reading()).rejects.toMatchObject({ code: "node_answer_invalid", retryable: true });
    expect(seen).toEqual([1n, 2n, 3n]);
  });

  it("hands out nothing of an empty range", async () => {
    const { nodes } = heldNodes();
    expect(await collect(fetchAhead(nodes, { from: 5n, to: 4n, concurrency: 2 }, whole))).toEqual([]);
  });

  it("hands out a real chain, each block the child of the one before", async () => {
    const chain = await startAnvil({ mining: "manual" });
    const nodes = testNodes([chain.url], { internal: "trace" });
    try {
      for (let count = 0; count < 5; count++) {
        await chain.sendEth(chain.account(1).address, 1n);
        await chain.mine(4);
      }
      expect(await collect(fetchAhead(nodes, { from: 0n, to: 20n, concurrency: 6 }, whole))).toEqual(
        range(0, 20),
      );
    } finally {
      await nodes.close();
      await chain.stop();
    }
  });
});
