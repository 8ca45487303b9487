/** Whole blocks from a real node, through a proxy that lies. */
import { encodeFunctionData } from "viem";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import type { BlockHeader } from "../core/chain.ts";
import { type Anvil, startAnvil } from "../testing/anvil.ts";
import { batcherAbi, contractCode, forwarderAbi, tokenAbi } from "../testing/contracts.ts";
import * as lies from "../testing/lies.ts";
import { type NodeProxy, startNodeProxy } from "../testing/node-proxy.ts";
import { type TestNodesOptions, testNodes } from "../testing/nodes.ts";
import type { ChainNodes } from "./chain-nodes.ts";
import type { FetchedBlock } from "./fetched-block.ts";

let chain: Anvil;
let proxy: NodeProxy;
/** Two token transfers in one transaction, an inner payment, a plain one, and one that fails. */
let full: BlockHeader;
let empty: BlockHeader;
const opened: ChainNodes[] = [];

const open = (options: TestNodesOptions = {}) => {
  const nodes = testNodes([proxy.url], options);
  opened.push(nodes);
  return nodes;
};
const traced = () => open({ internal: "trace" });

beforeAll(async () => {
  chain = await startAnvil({ mining: "manual" });
  proxy = await startNodeProxy(chain.url);
  const token = await chain.deployToken();
  const batcher = await chain.deploy(await contractCode("Batcher"));
  const forwarder = await chain.deploy(await contractCode("Forwarder"));
  await chain.send({
    to: token.address,
    data: encodeFunctionData({ abi: tokenAbi, functionName: "approve", args: [batcher, 100n] }),
  });
  await chain.mine();
  const to = chain.account(5).address;
  const pay = [1n, 2n].map((value) => ({ token: token.address, to, value }));
  await chain.send({
    to: batcher,
    data: encodeFunctionData({ abi: batcherAbi, functionName: "pay", args: [pay] }),
  });
  await chain.send({
    to: forwarder,
    valueWei: 7n,
    data: encodeFunctionData({ abi: forwarderAbi, functionName: "forward", args: [to] }),
  });
  await chain.sendEth(to, 5n);
  await chain.send({ to: token.address, valueWei: 9n }); // not payable
  full = await chain.mine();
  empty = await chain.mine();
});
afterEach(async () => {
  proxy.tellTruth();
  for (const nodes of opened.splice(0)) await nodes.close();
});
afterAll(async () => {
  await proxy.stop();
  await chain.stop();
});

const shape = (block: FetchedBlock) => ({
  header: block.header,
  statuses: block.receipts.map((receipt) => receipt.status),
  logs: block.receipts.map((receipt) => receipt.logs.length),
  calls: block.traces?.map((trace) => trace.calls?.length ?? 0) ?? null,
});

describe("fetching a block", () => {
  it("gives the same block by its hash and by its number, receipts and traces in its order", async () => {
    const nodes = traced();
    const byHash = await nodes.blockByHash(full.hash);
    expect(shape(byHash)).toEqual({
      header: full,
      statuses: ["0x1", "0x1", "0x1", "0x0"],
      logs: [2, 0, 0, 0],
      calls: [2, 1, 0, 0],
    });
    expect(shape(await nodes.blockByNumber(full.number))).toEqual(shape(byHash));
    expect(byHash.receipts.map((receipt) => receipt.transactionHash)).toEqual(
      byHash.transactions.map((transaction) => transaction.hash),
    );
  });

  it("gives an empty block, and does not trace where inner calls are not looked for", async () => {
    expect(shape(await open().blockByHash(empty.hash))).toEqual({
      header: empty,
      statuses: [],
      logs: [],
      calls: null,
    });
  });

  it("gives lower-case hashes and addresses even of a node that writes them in upper case", async () => {
    proxy.lie(
      lies.changed((result) => JSON.parse(JSON.stringify(result).replace(/0x[0-9a-f]{40,}/g, upperCased))),
    );
    expect(shape(await open().blockByHash(full.hash))).toMatchObject({ header: full, logs: [2, 0, 0, 0] });
  });

  it("asks for receipts by the block's hash where the node does not take a number", async () => {
    const byHashOnly: lies.Lie = (call) =>
      String(call.params[0]).length === full.hash.length
        ? lies.truth(call)
        : lies.rpcError(-32602, "invalid argument 0: hex string has length 4, want 64")(call);
    proxy.lie(byHashOnly, { methods: ["eth_getBlockReceipts"] });
    expect((await open().blockByNumber(full.number)).receipts).toHaveLength(4);
  });

  it("C4: refuses receipts by number that are of another branch", async () => {
    const otherBranch = lies.changed((receipts) =>
      (receipts as { [name: string]: unknown }[]).map((receipt) => ({ ...receipt, blockHash: empty.hash })),
    );
    proxy.lie(otherBranch, { methods: ["eth_getBlockReceipts"] });
    await expect(open({ retry: { rounds: 1 } }).blockByNumber(full.number)).rejects.toMatchObject({
      code: "node_answer_invalid",
      message: expect.stringContaining("blockHash does not agree"),
    });
  });

  it("asks for receipts one by one where the node has no eth_getBlockReceipts, and remembers it", async () => {
    proxy.lie(lies.methodMissing(), { methods: ["eth_getBlockReceipts"] });
    const nodes = open();
    expect((await nodes.blockByHash(full.hash)).receipts).toHaveLength(4);
    proxy.resetCalls();
    expect((await nodes.blockByNumber(full.number)).receipts).toHaveLength(4);
    expect(proxy.calls.get("eth_getBlockReceipts")).toBeUndefined();
    expect(proxy.calls.get("eth_getTransactionReceipt")).toBe(4);
  });

  it("reads the same inner calls from trace_block where the node has no debug_traceBlockByHash", async () => {
    const byTree = await traced().blockByHash(full.hash);
    proxy.lie(lies.methodMissing(), { methods: ["debug_traceBlockByHash"] });
    const byList = await traced().blockByHash(full.hash);
    const essence = (block: FetchedBlock) =>
      block.traces?.map((trace) =>
        [trace, ...(trace.calls ?? [])].map(({ type, from, to, value }) => [
          type,
          from,
          to,
          BigInt(value ?? "0x0"),
        ]),
      );
    expect(essence(byList)).toEqual(essence(byTree));
  });
});

describe("refusing what does not agree with itself", () => {
  const invalid = { code: "node_answer_invalid", retryable: true };

  it("C1: refuses an empty list of receipts for a block with transactions", async () => {
    proxy.lie(lies.emptyList(), { methods: ["eth_getBlockReceipts"] });
    await expect(open().blockByHash(full.hash)).rejects.toMatchObject(invalid);
  });

  it("C1: refuses receipts without logs while the bloom says there were some", async () => {
    proxy.lie(lies.emptyLogs(), { methods: ["eth_getBlockReceipts"] });
    await expect(open().blockByHash(full.hash)).rejects.toMatchObject(invalid);
  });

  it("C1: refuses it too where the receipts' own blooms are empty, or only one receipt has lost its logs", async () => {
    const methods = ["eth_getBlockReceipts"];
    const bare = (receipt: Field) => ({ ...receipt, logs: [], logsBloom: `0x${"0".repeat(512)}` });
    proxy.lie(changedItems(bare), { methods });
    await expect(open().blockByHash(full.hash)).rejects.toMatchObject(invalid);
    proxy.tellTruth();
    const other = await chain.headerAt(full.number - 1n); // one approval, one log
    const [log] = ((await chain.request<Field[]>("eth_getBlockReceipts", [other.hash]))[0]?.["logs"] ??
      []) as Field[];
    const moved = (receipt: Field) => ({
      ...receipt,
      // The second transaction has the only log of the block, the first has lost its two.
      logs: receipt["transactionIndex"] === "0x1" ? [{ ...log, ...placeOf(receipt), logIndex: "0x0" }] : [],
    });
    proxy.lie(changedItems(moved), { methods });
    await expect(open().blockByHash(full.hash)).rejects.toMatchObject(invalid);
  });

  it("C1: asks again, and believes the answer that is right", async () => {
    proxy.lie(lies.emptyLogs(), { methods: ["eth_getBlockReceipts"], times: 1 });
    expect((await open().blockByHash(full.hash)).receipts[0]?.logs).toHaveLength(2);
  });

  it("C3: takes a null block and null receipts for errors", async () => {
    const nodes = open();
    proxy.lie(lies.nothing(), { methods: ["eth_getBlockByHash"] });
    await expect(nodes.blockByHash(full.hash)).rejects.toMatchObject(invalid);
    proxy.tellTruth();
    proxy.lie(lies.nothing(), { methods: ["eth_getBlockReceipts"] });
    await expect(nodes.blockByHash(full.hash)).rejects.toMatchObject(invalid);
    proxy.tellTruth();
    proxy.lie(lies.methodMissing(), { methods: ["eth_getBlockReceipts"] });
    proxy.lie(lies.nothing(), { methods: ["eth_getTransactionReceipt"], times: 1 });
    expect((await nodes.blockByHash(full.hash)).receipts).toHaveLength(4);
  });

  it("C4: refuses a block, receipts or traces of another block than was asked for", async () => {
    const other = await chain.headerAt(full.number - 1n);
    for (const method of ["eth_getBlockByHash", "eth_getBlockReceipts", "debug_traceBlockByHash"]) {
      proxy.tellTruth();
      proxy.lie(lies.aboutBlock(other.hash), { methods: [method] });
      await expect(traced().blockByHash(full.hash), method).rejects.toMatchObject(invalid);
    }
  });

  it("C4: refuses another empty block than was asked for, by hash and by number", async () => {
    const other = await chain.mine();
    proxy.lie(lies.aboutBlock(other.hash), { methods: ["eth_getBlockByHash"] });
    await expect(open().blockByHash(empty.hash)).rejects.toMatchObject(invalid);
    await expect(open().headerByHash(empty.hash)).rejects.toMatchObject(invalid);
    proxy.lie(lies.aboutBlock(`0x${other.number.toString(16)}`), { methods: ["eth_getBlockByNumber"] });
    await expect(open().blockByNumber(empty.number)).rejects.toMatchObject(invalid);
    await expect(open().headerByNumber(empty.number)).rejects.toMatchObject(invalid);
  });

  it.each(["eth_getBlockReceipts", "debug_traceBlockByHash"])(
    "C4: refuses %s with one too many, or out of order",
    async (method) => {
      const methods = [method];
      proxy.lie(
        lies.changed((items) => [...(items as Field[]), (items as Field[])[0]]),
        { methods },
      );
      await expect(traced().blockByHash(full.hash)).rejects.toMatchObject(invalid);
      proxy.lie(
        lies.changed((items) => swapped(items as Field[])),
        { methods },
      );
      await expect(traced().blockByHash(full.hash)).rejects.toMatchObject(invalid);
    },
  );

  it("C4: refuses receipts of another branch at the same number with as many transactions", async () => {
    const point = await chain.forkPoint();
    const transaction = await chain.sign({
      from: chain.account(3),
      to: chain.account(4).address,
      valueWei: 1n,
    });
    const [left] = await chain.mineBranch(point, [{ transactions: [transaction] }]);
    const receipts = await chain.request<unknown>("eth_getBlockReceipts", [left?.hash]);
    const [here] = await chain.mineBranch(point, [{ transactions: [transaction] }]);
    proxy.lie(lies.result(receipts), { methods: ["eth_getBlockReceipts"] });
    await expect(open().blockByNumber(here?.number ?? 0n)).rejects.toMatchObject(invalid);
  });

  it.each([
    ["a log index that is not the next", (logs: Field[]) => logs.map((log) => ({ ...log, logIndex: "0x5" }))],
    [
      "a log of another transaction",
      (logs: Field[]) => logs.map((log) => ({ ...log, transactionHash: full.hash })),
    ],
    ["a log marked as removed", (logs: Field[]) => logs.map((log) => ({ ...log, removed: true }))],
    ["a topic that is no hash", (logs: Field[]) => logs.map((log) => ({ ...log, topics: ["0x12"] }))],
    ["an address that is none", (logs: Field[]) => logs.map((log) => ({ ...log, address: "0x12" }))],
    ["data that is half a byte", (logs: Field[]) => logs.map((log) => ({ ...log, data: "0x123" }))],
  ])("C4: refuses %s", async (_what, change) => {
    proxy.lie(
      lies.changed((receipts) =>
        (receipts as Field[]).map((receipt) => ({ ...receipt, logs: change(receipt["logs"] as Field[]) })),
      ),
      { methods: ["eth_getBlockReceipts"] },
    );
    await expect(open().blockByHash(full.hash)).rejects.toMatchObject(invalid);
  });

  it.each([
    ["a transaction without a sender", { from: null }],
    ["a transaction of another block", { blockHash: `0x${"1".repeat(64)}` }],
    ["a transaction out of place", { transactionIndex: "0x7" }],
    ["a value that is no number", { value: "lots" }],
  ])("C4: refuses %s", async (_what, fields) => {
    proxy.lie(
      lies.changed((block) => {
        const { transactions } = block as { transactions: Field[] };
        return {
          ...(block as Field),
          transactions: transactions.map((transaction) => ({ ...transaction, ...fields })),
        };
      }),
      { methods: ["eth_getBlockByHash"] },
    );
    await expect(open().blockByHash(full.hash)).rejects.toMatchObject(invalid);
  });

  it("refuses a status that is neither success nor failure, and a missing one without a state root", async () => {
    for (const status of ["0x2", undefined]) {
      proxy.tellTruth();
      proxy.lie(
        lies.changed((receipts) => (receipts as Field[]).map((receipt) => ({ ...receipt, status }))),
        {
          methods: ["eth_getBlockReceipts"],
        },
      );
      await expect(open().blockByHash(full.hash)).rejects.toMatchObject(invalid);
    }
  });

  it("refuses traces in which one could not be made, or failed where its transaction succeeded", async () => {
    const methods = ["debug_traceBlockByHash"];
    proxy.lie(
      lies.changed((traces) => (traces as Field[]).map(({ txHash }) => ({ txHash, error: "timeout" }))),
      { methods },
    );
    await expect(traced().blockByHash(full.hash)).rejects.toMatchObject(invalid);
    proxy.tellTruth();
    const failed = (trace: Field) => ({
      ...trace,
      result: { ...(trace["result"] as Field), error: "out of gas" },
    });
    proxy.lie(
      lies.changed((traces) => (traces as Field[]).map(failed)),
      { methods },
    );
    await expect(traced().blockByHash(full.hash)).rejects.toMatchObject(invalid);
  });

  it("C11: says that the node cannot trace, for good, instead of finding no inner calls", async () => {
    proxy.lie(lies.methodMissing(), { methods: ["debug_traceBlockByHash", "trace_block"] });
    await expect(traced().blockByHash(full.hash)).rejects.toMatchObject({
      code: "node_method_missing",
      retryable: false,
    });
  });
});

type Field = Record<string, unknown>;

function changedItems(change: (item: Field) => Field): lies.Lie {
  return lies.changed((items) => (items as Field[]).map(change));
}

function swapped([first, second, ...rest]: readonly Field[]): unknown[] {
  return [second, first, ...rest];
}

function placeOf({ blockHash, blockNumber, transactionHash, transactionIndex }: Field): Field {
  return { blockHash, blockNumber, transactionHash, transactionIndex };
}

function upperCased(hex: string): string {
  return `0x${hex.slice(2).toUpperCase()}`;
}
