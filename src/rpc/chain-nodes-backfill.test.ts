/** Two nodes that catch up together, through proxies that lie. */
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { type Anvil, startAnvil } from "../testing/anvil.ts";
import * as lies from "../testing/lies.ts";
import { type NodeProxy, startNodeProxy } from "../testing/node-proxy.ts";
import { type TestNodesOptions, testNodes } from "../testing/nodes.ts";
import { waitFor } from "../testing/wait-for.ts";
import type { ChainNodes } from "./chain-nodes.ts";

let chain: Anvil;
let first: NodeProxy;
let second: NodeProxy;
const opened: ChainNodes[] = [];

const open = (urls: readonly string[], options: TestNodesOptions = {}) => {
  const nodes = testNodes(urls, options);
  opened.push(nodes);
  return nodes;
};

beforeAll(async () => {
  chain = await startAnvil({ mining: "manual" });
  first = await startNodeProxy(chain.url);
  second = await startNodeProxy(chain.url);
  await chain.mine(200);
});
afterEach(async () => {
  for (const proxy of [first, second]) {
    proxy.tellTruth();
    proxy.resetCalls();
  }
  for (const nodes of opened.splice(0)) await nodes.close();
});
afterAll(async () => {
  await Promise.all([first.stop(), second.stop()]);
  await chain.stop();
});

describe("catching up", () => {
  it("is shared by all nodes that are well, and passed on by one that wants fewer requests", async () => {
    const nodes = open([first.url, second.url], { retry: { rounds: 1 } });
    await nodes.head();
    first.lie(lies.tooManyRequests(), { methods: ["eth_getBlockReceipts"], times: 3 });
    const numbers = Array.from({ length: 60 }, (_, index) => BigInt(index));
    const blocks = await Promise.all(numbers.map((number) => nodes.backfill.blockByNumber(number)));
    expect(blocks.map((block) => block.header.number)).toEqual(numbers);
    for (const proxy of [first, second]) {
      expect(proxy.calls.get("eth_getBlockReceipts")).toBeGreaterThan(5);
    }
    const [limited] = nodes.nodes();
    expect(limited?.errorCounts.node_rate_limited).toBeGreaterThan(0);
    expect(limited?.requests).toMatchObject({ headInFlight: 0, backfillInFlight: 0 });
  });

  it("does not hold up the head, though every request it may have under way hangs", async () => {
    const nodes = open([first.url], { retry: { rounds: 1 }, verification: "none" });
    const current = await nodes.head();
    first.lie(lies.hang(), { methods: ["eth_getBlockReceipts"] });
    const cancel = new AbortController();
    const catchingUp = Array.from({ length: 60 }, (_, index) =>
      nodes.backfill.blockByNumber(BigInt(index), cancel.signal).catch((error: unknown) => error),
    );
    const isFull = () => {
      const requests = nodes.nodes()[0]?.requests;
      return requests !== undefined && requests.backfillInFlight >= requests.limit;
    };
    await waitFor(isFull, { what: "the budget for catching up to be full" });
    for (let i = 0; i < 5; i++) expect(await nodes.head()).toEqual(current);
    expect((await nodes.headerByHash(current.hash))?.hash).toBe(current.hash);
    cancel.abort(new Error("enough"));
    for (const outcome of await Promise.all(catchingUp)) expect(outcome).toMatchObject({ message: "enough" });
  });

  it("does not ask a node for blocks that it has not yet", async () => {
    first.lie(lies.lag(90));
    const nodes = open([first.url, second.url]);
    await waitFor(
      async () => (await nodes.head()) && nodes.nodes().every((node) => node.headNumber !== null),
      {
        what: "both heads to be known",
      },
    );
    const { number } = await chain.head();
    first.resetCalls();
    for (let below = 1n; below < 20n; below++) await nodes.backfill.blockByNumber(number - below);
    expect(first.calls.get("eth_getBlockReceipts")).toBeUndefined();
    expect(nodes.nodes()[0]?.errorCounts).toEqual({});
  });
});
