/** Transfers out of real blocks: made on a real chain, fetched and checked as the daemon does. */

import {
  type Abi,
  type ContractFunctionArgs,
  type ContractFunctionName,
  encodeDeployData,
  encodeFunctionData,
  getContractAddress,
  type Hex,
  pad,
} from "viem";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { MAX_UINT256 } from "../core/amount.ts";
import type { Transfer } from "../core/chain.ts";
import type { Address, Hash } from "../core/hex.ts";
import { UNVERIFIED } from "../core/verification.ts";
import type { ChainNodes } from "../rpc/chain-nodes.ts";
import type { FetchedBlock } from "../rpc/fetched-block.ts";
import { type Anvil, startAnvil, type TestToken } from "../testing/anvil.ts";
import {
  batcherAbi,
  contractCode,
  forgerAbi,
  forwarderAbi,
  leaverAbi,
  makerAbi,
  tokenAbi,
} from "../testing/contracts.ts";
import * as lies from "../testing/lies.ts";
import { type NodeProxy, startNodeProxy } from "../testing/node-proxy.ts";
import { testNodes } from "../testing/nodes.ts";
import { extractTransfers } from "./extract-transfers.ts";

const ZERO: Address = `0x${"0".repeat(40)}`;

let chain: Anvil;
let proxy: NodeProxy;
let nodes: ChainNodes;
let token: TestToken;
let batcher: Address;
let forwarder: Address;
let forger: Address;
let payer: Address;
let watched: Address;
let other: Address;

beforeAll(async () => {
  chain = await startAnvil({ mining: "manual" });
  proxy = await startNodeProxy(chain.url);
  nodes = testNodes([chain.url], { internal: "trace" });
  token = await chain.deployToken();
  batcher = await chain.deploy(await contractCode("Batcher"));
  forwarder = await chain.deploy(await contractCode("Forwarder"));
  forger = await chain.deploy(await contractCode("Forger"));
  [payer, watched, other] = [0, 5, 6].map((index) => chain.account(index).address) as [
    Address,
    Address,
    Address,
  ];
  for (const spender of [batcher, forger])
    await chain.send(call(token.address, tokenAbi, "approve", [spender, 10n ** 20n]));
  await chain.mine();
});
afterAll(async () => {
  await nodes.close();
  await proxy.stop();
  await chain.stop();
});

function call<const A extends Abi, Name extends ContractFunctionName<A>>(
  to: Address,
  abi: A,
  functionName: Name,
  args: ContractFunctionArgs<A, "nonpayable" | "payable", Name>,
  valueWei = 0n,
) {
  return { to, valueWei, data: encodeFunctionData({ abi, functionName, args } as never) };
}

/** Everything in the next block, as `[source, token, from, to, amount]`; transactions by their place. */
async function mined(): Promise<unknown[]> {
  const header = await chain.mine();
  return extracted(await nodes.blockByHash(header.hash));
}

function extracted(block: FetchedBlock): unknown[] {
  return extractTransfers(block).transfers.map((transfer) => [
    block.transactions.findIndex((transaction) => transaction.hash === transfer.txHash),
    ...briefly(transfer),
  ]);
}

const briefly = ({ source, token: asset, to, amountBaseUnits }: Transfer) => [
  source,
  asset,
  to,
  amountBaseUnits,
];

describe("native transfers", () => {
  it("finds a plain one with all that belongs to it", async () => {
    const hash = await chain.sendEth(watched, 7n);
    const header = await chain.mine();
    expect(extractTransfers(await nodes.blockByHash(header.hash))).toEqual({
      block: header,
      verification: { level: "proved", logs: "proved", values: "proved", withdrawals: "proved" },
      transfers: [
        {
          txHash: hash,
          source: "value",
          token: null,
          from: payer,
          to: watched,
          amountBaseUnits: 7n,
          sender: payer,
        },
      ],
    });
  });

  it("A1: finds nothing in a failed transaction, beside an unrelated token log in the same block", async () => {
    await chain.send({ to: token.address, valueWei: 9n }); // the token takes no value
    await chain.transferToken(token, other, 3n);
    expect(await mined()).toEqual([[1, "log:0", token.address, other, 3n]]);
  });

  it("D1: finds one with calldata, once", async () => {
    await chain.send({ to: watched, valueWei: 5n, data: "0xdeadbeef" });
    expect(await mined()).toEqual([[0, "value", null, watched, 5n]]);
  });

  it("finds none of value zero", async () => {
    await chain.sendEth(watched, 0n);
    expect(await mined()).toEqual([]);
  });

  it("D9: finds the value that a creation brings to its contract, and value sent there before and after", async () => {
    const next = Number(await chain.request<Hex>("eth_getTransactionCount", [payer, "latest"]));
    const made = getContractAddress({ from: payer, nonce: BigInt(next + 1) }).toLowerCase() as Address;
    const code = encodeDeployData({ abi: leaverAbi, bytecode: await contractCode("Leaver") });
    await chain.sendEth(made, 1n);
    await chain.send({ to: null, data: code, valueWei: 2n, gas: 1_000_000n });
    expect(await mined()).toEqual([
      [0, "value", null, made, 1n],
      [1, "value", null, made, 2n],
    ]);
    await chain.send({ to: null, data: "0xfe", valueWei: 2n }); // invalid: fails
    expect(await mined()).toEqual([]);
  });

  it("D9: finds the value that a contract brings to one it makes at an address known before", async () => {
    const maker = await chain.deploy(await contractCode("Maker"));
    const salt = pad("0x01");
    const made = (
      await chain.client.readContract({
        address: maker,
        abi: makerAbi,
        functionName: "addressOf",
        args: [salt],
      })
    ).toLowerCase();
    await chain.sendEth(made as Address, 3n);
    await chain.send(call(maker, makerAbi, "make", [salt], 4n));
    expect(await mined()).toEqual([
      [0, "value", null, made, 3n],
      [1, "value", null, maker, 4n],
      [1, "trace:0", null, made, 4n],
    ]);
  });

  it("D10: finds the value of a transaction of a type that nobody knows, and all of the rest of its block, with an alarm", async () => {
    await chain.sendEth(watched, 5n);
    await chain.transferToken(token, watched, 6n);
    const header = await chain.mine();
    const after = await chain.mine();
    const proxied = testNodes([proxy.url]);
    await proxied.blockByNumber(1n); // finds out what the chain proves, before the new type
    await proxied.blockByHash(after.hash); // blocks come in any order: a later one must not hide the alarm
    const ofNewType = (list: unknown) => (list as object[]).map((each) => ({ ...each, type: "0x50" }));
    proxy.lie(lies.changed(ofNewType), { methods: ["eth_getBlockReceipts"] });
    proxy.lie(
      lies.changed((block) => {
        const { transactions, ...rest } = block as { transactions: object[] };
        return { ...rest, transactions: ofNewType(transactions) };
      }),
      { methods: ["eth_getBlockByHash"] },
    );
    expect(extracted(await proxied.blockByHash(header.hash))).toEqual([
      [0, "value", null, watched, 5n],
      [1, "log:0", token.address, watched, 6n],
    ]);
    expect(proxied.verification.state()).toMatchObject({ alarm: expect.stringContaining("0x50") });
    await proxied.close();
    proxy.tellTruth();
  });
});

describe("inner calls", () => {
  it("D3: finds native value from inside a contract call, once", async () => {
    await chain.send(call(forwarder, forwarderAbi, "forward", [watched], 5n));
    expect(await mined()).toEqual([
      [0, "value", null, forwarder, 5n],
      [0, "trace:0", null, watched, 5n],
    ]);
  });

  it("says who sent the transaction, whoever the value came from", async () => {
    const relayer = chain.account(1);
    await chain.send(call(token.address, tokenAbi, "approve", [relayer.address, 5n]));
    const pull = call(token.address, tokenAbi, "transferFrom", [payer, watched, 5n]);
    await chain.send({ from: relayer, ...pull });
    await chain.send({ from: relayer, ...call(forwarder, forwarderAbi, "forward", [watched], 6n) });
    const header = await chain.mine();
    const sender = relayer.address.toLowerCase();
    expect(extractTransfers(await nodes.blockByHash(header.hash)).transfers).toMatchObject([
      { source: "log:0", from: payer, sender },
      { source: "value", from: sender, sender },
      { source: "trace:0", from: forwarder, sender },
    ]);
  });

  it("D3: finds it two calls deep, and tells the two calls apart", async () => {
    const next = await chain.deploy(await contractCode("Forwarder"));
    await chain.send(call(forwarder, forwarderAbi, "forwardThrough", [next, watched], 5n));
    expect(await mined()).toEqual([
      [0, "value", null, forwarder, 5n],
      [0, "trace:0", null, next, 5n],
      [0, "trace:0.0", null, watched, 5n],
    ]);
  });

  it("A5: finds nothing in an inner call that reverted while the outer transaction succeeded", async () => {
    await chain.send(call(forwarder, forwarderAbi, "forwardAndRevertInside", [watched], 5n));
    expect(await mined()).toEqual([[0, "value", null, forwarder, 5n]]);
  });

  it("A6: finds nothing in DELEGATECALL, CALLCODE and STATICCALL frames that show a value", async () => {
    await chain.send(call(forwarder, forwarderAbi, "showWithoutMoving", [watched], 5n));
    const header = await chain.mine();
    const block = await nodes.blockByHash(header.hash);
    const shown = block.traces?.[0]?.calls?.map(({ type }) => type);
    expect(shown).toEqual(["DELEGATECALL", "CALLCODE", "STATICCALL"]);
    expect(extracted(block)).toEqual([[0, "value", null, forwarder, 5n]]);
  });

  it("D4: finds what a contract leaves behind by SELFDESTRUCT", async () => {
    const leaver = await chain.deploy(
      encodeDeployData({ abi: leaverAbi, bytecode: await contractCode("Leaver") }),
      8n,
    );
    await chain.send(call(leaver, leaverAbi, "depart", [watched]));
    expect(await mined()).toEqual([[0, "trace:0", null, watched, 8n]]);
  });

  it("gives an inner transfer the same source whichever way the node traces", async () => {
    await chain.send(call(forwarder, forwarderAbi, "forwardAfterPrecompile", [watched], 5n));
    await chain.send(call(forwarder, forwarderAbi, "forwardAndRevertInside", [watched], 5n));
    const next = await chain.deploy(await contractCode("Forwarder"));
    await chain.send(call(forwarder, forwarderAbi, "forwardThrough", [next, watched], 5n));
    const header = await chain.mine();
    const byTree = extracted(await nodes.blockByHash(header.hash));
    proxy.lie(lies.methodMissing(), { methods: ["debug_traceBlockByHash"] });
    const flat = testNodes([proxy.url], { internal: "trace" });
    expect(extracted(await flat.blockByHash(header.hash))).toEqual(byTree);
    await flat.close();
    proxy.tellTruth();
  });
});

describe("token transfers", () => {
  it("D2: finds those through a batcher, transferFrom and a mint, once each", async () => {
    await chain.send(call(batcher, batcherAbi, "pay", [[{ token: token.address, to: watched, value: 1n }]]));
    await chain.send({ from: chain.account(1), ...call(token.address, tokenAbi, "approve", [payer, 2n]) });
    await chain.send(call(token.address, tokenAbi, "transferFrom", [chain.account(1).address, watched, 2n]));
    expect(await mined()).toEqual([
      [0, "log:0", token.address, watched, 1n],
      [2, "log:0", token.address, watched, 2n],
    ]);
  });

  it("D8: finds a mint", async () => {
    await chain.send(call(token.address, tokenAbi, "mint", [watched, 3n]));
    expect(await mined()).toEqual([[0, "log:0", token.address, watched, 3n]]);
  });

  it("D6: finds each of several transfers in one transaction, to one or many, equal amounts too", async () => {
    const pay = [watched, watched, other].map((to) => ({ token: token.address, to, value: 5n }));
    const native = [watched, watched].map((to) => ({ token: ZERO, to, value: 4n }));
    await chain.send(call(batcher, batcherAbi, "pay", [[...pay, ...native]], 8n));
    expect(await mined()).toEqual([
      [0, "value", null, batcher, 8n],
      [0, "log:0", token.address, watched, 5n],
      [0, "log:1", token.address, watched, 5n],
      [0, "log:2", token.address, other, 5n],
      [0, "trace:0", null, watched, 4n],
      [0, "trace:1", null, watched, 4n],
    ]);
  });

  it("D7: finds both native and token in one transaction", async () => {
    const pay = [
      { token: ZERO, to: watched, value: 4n },
      { token: token.address, to: watched, value: 5n },
    ];
    await chain.send(call(batcher, batcherAbi, "pay", [pay], 4n));
    expect(await mined()).toEqual([
      [0, "value", null, batcher, 4n],
      [0, "log:0", token.address, watched, 5n],
      [0, "trace:0", null, watched, 4n],
    ]);
  });

  it("counts logs within their own receipt, so that a transaction behind others keeps its source", async () => {
    for (const from of [1, 2, 3]) await chain.transferToken(token, watched, 1n, chain.account(from));
    const found = await mined();
    expect(found.map((each) => (each as unknown[])[1])).toEqual(["log:0", "log:0", "log:0"]);
  });

  it("A2: finds nothing where transfer answers false and succeeds", async () => {
    const refusing = await chain.deploy(await contractCode("RefusingToken"));
    await chain.transferToken({ ...token, address: refusing }, watched, 5n);
    expect(await mined()).toEqual([]);
  });

  it("A4: keeps a forged log apart from the real one in the same transaction", async () => {
    await chain.send(call(forger, forgerAbi, "forgeBeside", [token.address, watched, 1n, 10n ** 12n]));
    expect(await mined()).toEqual([
      [0, "log:0", forger, watched, 10n ** 12n],
      [0, "log:1", token.address, watched, 1n],
    ]);
  });

  it("A7: finds nothing in a transferFrom of zero in somebody else's name", async () => {
    await chain.send(call(token.address, tokenAbi, "transferFrom", [other, watched, 0n]));
    const header = await chain.mine();
    const block = await nodes.blockByHash(header.hash);
    expect(block.receipts[0]?.logs).toHaveLength(1);
    expect(extracted(block)).toEqual([]);
  });

  it("A10: finds nothing in Transfer logs of ERC-721 and ERC-1155", async () => {
    await chain.send(call(forger, forgerAbi, "erc721", [payer, watched, 5n]));
    await chain.send(call(forger, forgerAbi, "erc1155", [payer, watched, 5n, 6n]));
    expect(await mined()).toEqual([]);
  });

  it("A11: refuses un-indexed arguments, empty, short and long data, and dirty upper address bytes", async () => {
    const [from, to] = [pad(payer), pad(watched)];
    const dirty: Hash = `0x01${to.slice(4)}`;
    await chain.send(call(forger, forgerAbi, "unindexed", [payer, watched, 5n]));
    const amount = pad("0x05");
    for (const data of ["0x", "0x05", `${amount}00`, `${amount}${amount.slice(2)}`] as const) {
      await chain.send(call(forger, forgerAbi, "raw", [from, to, data]));
    }
    await chain.send(call(forger, forgerAbi, "raw", [from, dirty, amount]));
    await chain.send(call(forger, forgerAbi, "raw", [dirty, to, amount]));
    await chain.send(call(forger, forgerAbi, "raw", [from, to, amount])); // as it should be
    expect(await mined()).toEqual([[7, "log:0", forger, watched, 5n]]);
  });

  it("A12: keeps the largest amount exactly", async () => {
    const twice = [1, 2].map(() => call(token.address, tokenAbi, "mint", [watched, MAX_UINT256]));
    for (const each of twice) await chain.send(each);
    expect(await mined()).toEqual(
      [0, 1].map((index) => [index, "log:0", token.address, watched, MAX_UINT256]),
    );
  });

  it("D15: does not take the native coin's own logs (EIP-7708) for a token", async () => {
    const system: Address = "0xfffffffffffffffffffffffffffffffffffffffe";
    await chain.request("anvil_setCode", [system, await chain.request("eth_getCode", [forger, "latest"])]);
    await chain.send({ ...call(system, forgerAbi, "forge", [payer, watched, 5n]) });
    await chain.sendEth(watched, 5n);
    const header = await chain.mine();
    const block = await nodes.blockByHash(header.hash);
    expect(block.receipts[0]?.logs[0]?.address).toBe(system);
    expect(extracted(block)).toEqual([[1, "value", null, watched, 5n]]);
    // Where these logs are the native source, they stand for it alone.
    const byLogs = extractTransfers(block, "eip7708").transfers.filter(({ to }) => to === watched);
    expect(byLogs.map(({ source, token: native }) => [source, native])).toEqual([["log:0", null]]);
  });
});

describe("what a test chain cannot make", () => {
  const block = (given: Partial<FetchedBlock>): FetchedBlock => ({
    header: { number: 1n, hash: pad("0x01"), parentHash: pad("0x00"), timestamp: 1 },
    verification: UNVERIFIED,
    transactions: [],
    receipts: [],
    withdrawals: [],
    traces: null,
    ...given,
  });

  it("D5: finds validator withdrawals, in wei, each under its own index", () => {
    const withdrawals = [
      { index: "0x10", address: watched, amount: "0x2" },
      { index: "0x11", address: watched, amount: "0x2" },
      { index: "0x12", address: watched, amount: "0x0" },
    ] as const;
    expect(extractTransfers(block({ withdrawals })).transfers).toEqual(
      ["withdrawal:16", "withdrawal:17"].map((source) => ({
        txHash: null,
        source,
        token: null,
        from: ZERO,
        to: watched,
        amountBaseUnits: 2_000_000_000n,
        sender: null,
      })),
    );
  });

  it("A10: finds nothing in four topics, even with data that could be an amount", () => {
    const transactions = [{ hash: pad("0x0a"), from: payer, to: token.address, value: "0x0" as const }];
    const transfer: Hash = "0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef";
    const topics = [transfer, pad(payer), pad(watched), pad("0x07")];
    const withTopics = (count: number) => {
      const log = { address: token.address, topics: topics.slice(0, count), data: pad("0x05") };
      return block({
        transactions,
        receipts: [{ transactionHash: pad("0x0a"), status: "0x1", logs: [log] }],
      });
    };
    expect([1, 2, 3, 4].map((count) => extractTransfers(withTopics(count)).transfers.length)).toEqual([
      0, 0, 1, 0,
    ]);
  });

  it("believes a transaction without a status only where its receipt has a state root, as before 2017", () => {
    const transactions = [{ hash: pad("0x0a"), from: payer, to: watched, value: "0x5" as const }];
    const receipt = { transactionHash: pad("0x0a"), logs: [] };
    const old = block({ transactions, receipts: [{ ...receipt, root: pad("0x0b") }] });
    expect(extractTransfers(old).transfers).toHaveLength(1);
    expect(extractTransfers(block({ transactions, receipts: [receipt] })).transfers).toEqual([]);
  });
});
