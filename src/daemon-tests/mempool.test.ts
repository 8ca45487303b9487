/** Payments that wait in the mempool of a real node, seen by the whole daemon. */
import { encodeFunctionData } from "viem";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Address, checksumAddress, type Hash } from "../core/hex.ts";
import { tokenAbi } from "../testing/contracts.ts";
import { addressOf } from "../testing/factory.ts";
import { hang, type Lie, methodMissing, result, rpcError } from "../testing/lies.ts";
import { type NodeProxy, startNodeProxy } from "../testing/node-proxy.ts";
import { waitFor } from "../testing/wait-for.ts";
import { type Callback, type Receiver, startReceiver } from "./receiver.ts";
import { type Rig, startRig } from "./rig.ts";

const ETHER = 10n ** 18n;

/** As a node that knows no tag `pending` answers. */
const withoutPendingBlock: Lie = async (call) =>
  call.params[0] === "pending"
    ? rpcError(-32602, "unknown block tag")(call)
    : { status: 200, body: await call.forward() };

/** What a `deposit.seen` says beside a deposit's fields. */
interface SeenView {
  readonly id: string;
  readonly sequence: number;
  readonly status: string;
  readonly txHash: string;
  readonly replacedBy: string | null;
  readonly minedIn: { readonly depositIds: readonly string[] } | null;
}

describe("the mempool", { timeout: 180_000 }, () => {
  let rig: Rig;
  let proxy: NodeProxy;
  /** An endpoint that names no types. */
  let plain: Receiver;

  beforeAll(async () => {
    rig = await startRig({
      chain: { mempool: true },
      nodeUrl: async (anvil) => {
        proxy = await startNodeProxy(anvil.url);
        return proxy.url;
      },
    });
    plain = await startReceiver();
    const endpoint = await rig.api.createEndpoint(plain.url);
    expect(endpoint.events).not.toContain("deposit.seen");
    plain.useSecret(endpoint.secret);
  });
  afterAll(async () => {
    await rig.stop();
    expect(plain.callbacks().filter(({ type }) => type === "deposit.seen")).toEqual([]);
    expect(plain.callbacks().length).toBeGreaterThan(0);
    await Promise.all([plain.close(), proxy.stop()]);
  });

  const seenViewOf = (callback: Callback) => callback.data as unknown as SeenView;
  const seenOf = (txHash: Hash) =>
    rig.receiver
      .callbacks()
      .filter(({ type, data }) => type === "deposit.seen" && data.txHash === txHash)
      .map(seenViewOf)
      .sort((a, b) => a.sequence - b.sequence);
  const toldOf = (txHash: Hash) => [...new Set(seenOf(txHash).map(({ status }) => status))];
  const untilTold = (txHash: Hash, status: string) =>
    waitFor(() => seenOf(txHash).find((seen) => seen.status === status), {
      timeoutMs: 60_000,
      what: `the callback that ${txHash} is ${status}`,
    });
  /** In place of another transaction of this account, for a better price. */
  const outbid = (account: number, nonce: bigint, to: Address, valueWei: bigint) =>
    rig.anvil.request<Hash>("eth_sendTransaction", [
      {
        from: rig.anvil.account(account).address,
        to,
        value: `0x${valueWei.toString(16)}`,
        nonce: `0x${nonce.toString(16)}`,
        gas: "0x186a0",
        maxFeePerGas: "0x2e90edd000",
        maxPriorityFeePerGas: "0x77359400",
      },
    ]);
  const nonceOf = async (txHash: Hash) =>
    BigInt((await rig.anvil.client.getTransaction({ hash: txHash })).nonce);
  const allSeen = async (query: string) =>
    (await rig.api.call<{ items: SeenView[] }>("GET", `/v1/seen-payments${query}`)).body.items;

  it("tells of a payment before it is mined, and its deposit follows with events of its own", async () => {
    const { anvil, receiver } = rig;
    const alice = await rig.watch("alice");
    const native = await anvil.sendEth(alice, ETHER, anvil.account(1));
    const token = await anvil.transferToken(rig.token, alice, 2_500_000n, anvil.account(2));
    await untilTold(native, "seen");
    await untilTold(token, "seen");
    const waiting = await allSeen(`?address=${alice}&status=seen`);
    expect(waiting.map(({ txHash }) => txHash).sort()).toEqual([native, token].sort());
    const { body } = await rig.api.call<{ seenPayments: SeenView[] }>("GET", `/v1/addresses/${alice}`);
    expect(body.seenPayments).toHaveLength(2);
    // Nothing of it counts.
    expect(await rig.depositsOf("alice")).toEqual([]);
    expect(await rig.balancesOf("alice")).toEqual({});
    const told = receiver.callbacks().filter(({ data }) => data.txHash === token);
    expect(told.map(({ data }) => data)).toMatchObject([
      {
        status: "seen",
        sequence: 1,
        userId: "alice",
        orderNo: null,
        currency: "USDT",
        amount: "2.5",
        to: checksumAddress(alice),
        source: "call",
        blockNumber: null,
        confirmations: 0,
      },
    ]);

    await rig.mineDeep();
    const deposits = await rig.depositsOf("alice");
    expect(deposits.map(({ txHash, status }) => [txHash, status]).sort()).toEqual(
      [
        [native, "unlocked"],
        [token, "unlocked"],
      ].sort(),
    );
    for (const deposit of deposits) {
      const mined = await untilTold(deposit.txHash as Hash, "mined");
      expect(mined.minedIn?.depositIds).toEqual([deposit.id]);
      expect(receiver.toldOf(deposit.id)).toEqual(["pending", "credited", "unlocked"]);
    }
    expect(await rig.balancesOf("alice")).toEqual({ ETH: [0n, ETHER], USDT: [0n, 2_500_000n] });
  });

  it("tells of a payment with its address and order, from the mempool to its credit", async () => {
    const { anvil, api, receiver } = rig;
    const to = addressOf("order A-1001");
    const { body: order } = await api.call<{ id: string }>("POST", "/v1/orders", {
      orderNo: "A-1001",
      userId: "judy",
      chainId: anvil.chainId,
      currency: "USDT",
      amount: "2.5",
      address: to,
    });
    const showOrder = async () => (await api.call("GET", `/v1/orders/${order.id}`)).body;
    const payment = await anvil.transferToken(rig.token, to, 2_500_000n, anvil.account(1));
    await untilTold(payment, "seen");
    const named = { to: checksumAddress(to), orderNo: "A-1001", userId: "judy", txHash: payment };
    const toldOfIt = (type: string) =>
      receiver.callbacks().find((each) => each.type === type && each.data.txHash === payment)?.data;
    expect(toldOfIt("deposit.seen")).toMatchObject({ ...named, status: "seen", amount: "2.5" });
    expect(await allSeen("?orderNo=A-1001")).toMatchObject([named]);
    expect(await showOrder()).toMatchObject({
      status: "open",
      pending: "0",
      paid: "0",
      deposits: [],
      seenPayments: [{ ...named, status: "seen" }],
    });

    const payerSees = async () => (await api.call("GET", `/pay/${order.id}/state`)).body;
    expect(await payerSees()).toMatchObject({ phase: "seen", toPay: null });

    await anvil.mine();
    await waitFor(async () => (await api.deposits({ orderNo: "A-1001" })).length === 1, {
      timeoutMs: 60_000,
      what: "the deposit of the order",
    });
    expect(await showOrder()).toMatchObject({ status: "open", pending: "2.5", paid: "0", remaining: "2.5" });
    expect(await payerSees()).toMatchObject({ phase: "confirming", confirmations: { have: 1, need: 3 } });
    await rig.mineDeep();
    const [deposit] = await api.deposits({ orderNo: "A-1001" });
    expect(deposit).toMatchObject({ ...named, status: "unlocked" });
    for (const type of ["deposit.pending", "deposit.credited"])
      expect(toldOfIt(type)).toMatchObject({ ...named, id: deposit?.id });
    await untilTold(payment, "mined");
    expect(await showOrder()).toMatchObject({
      seenPayments: [],
      deposits: [{ id: deposit?.id }],
      status: "paid",
    });
    expect(await payerSees()).toMatchObject({ phase: "paid", paid: "2.5" });
  });

  it("A13: never credits a transaction that is replaced in the mempool, and tells that it was", async () => {
    const { anvil } = rig;
    const bob = await rig.watch("bob");
    await anvil.mine();
    await rig.caughtUp();
    const payment = await anvil.sendEth(bob, ETHER, anvil.account(3));
    await untilTold(payment, "seen");
    const other = await outbid(3, await nonceOf(payment), addressOf("nobody"), 1n);
    expect((await untilTold(payment, "replaced")).replacedBy).toBe(other);

    await rig.mineDeep();
    expect(await rig.depositsOf("bob")).toEqual([]);
    expect(await rig.balancesOf("bob")).toEqual({});
    expect(toldOf(payment)).toEqual(["seen", "replaced"]);
  });

  it("A13: credits only the second when a payment is replaced by another to the same user", async () => {
    const { anvil } = rig;
    const carol = await rig.watch("carol");
    await anvil.mine();
    await rig.caughtUp();
    const first = await anvil.sendEth(carol, 5n * ETHER, anvil.account(4));
    await untilTold(first, "seen");
    const second = await outbid(4, await nonceOf(first), carol, ETHER);
    expect((await untilTold(first, "replaced")).replacedBy).toBe(second);
    await untilTold(second, "seen");
    await rig.mineDeep();
    await untilTold(second, "mined");
    expect(await rig.summaryOf("carol")).toEqual(["unlocked 1 ETH"]);
    expect(await rig.balancesOf("carol")).toEqual({ ETH: [0n, ETHER] });
  });

  it("A13: never credits a transaction that every mempool has forgotten, and tells that it was dropped", async () => {
    const { anvil } = rig;
    const dave = await rig.watch("dave");
    await anvil.mine();
    await rig.caughtUp();
    const payment = await anvil.sendEth(dave, ETHER, anvil.account(5));
    await untilTold(payment, "seen");
    await anvil.request("anvil_dropTransaction", [payment]);
    expect(await untilTold(payment, "dropped")).toMatchObject({ replacedBy: null, minedIn: null });
    await rig.mineDeep();
    expect(await rig.depositsOf("dave")).toEqual([]);
    expect(await allSeen("?status=dropped&userId=dave")).toHaveLength(1);
  });

  it("names no deposit of a payment that failed in its block", async () => {
    const { anvil } = rig;
    const erin = await rig.watch("erin");
    await anvil.mine();
    await rig.caughtUp();
    const tooMuch = encodeFunctionData({ abi: tokenAbi, functionName: "transfer", args: [erin, 10n ** 40n] });
    const payment = await anvil.send({ from: anvil.account(6), to: rig.token.address, data: tooMuch });
    await untilTold(payment, "seen");
    await rig.mineDeep();
    expect((await untilTold(payment, "mined")).minedIn?.depositIds).toEqual([]);
    expect(await rig.depositsOf("erin")).toEqual([]);
  });

  it("waits again when a reorg takes its block, and is replaced by what has its nonce on the other branch", async () => {
    const { anvil } = rig;
    const frank = await rig.watch("frank");
    const sender = anvil.account(7);
    const payment = await anvil.sign({ from: sender, to: frank, valueWei: ETHER });
    const other = await anvil.sign({
      from: sender,
      to: addressOf("nobody"),
      valueWei: 1n,
      nonce: payment.nonce,
    });
    await anvil.mine();
    await rig.caughtUp();
    const point = await anvil.forkPoint();
    await anvil.sendRaw(payment.raw);
    await untilTold(payment.hash, "seen");
    await anvil.mine();
    await untilTold(payment.hash, "mined");

    await anvil.mineBranch(point, [{ transactions: [other] }, {}]);
    expect((await untilTold(payment.hash, "replaced")).replacedBy).toBe(other.hash);
    expect(seenOf(payment.hash).map(({ status }) => status)).toEqual(["seen", "mined", "seen", "replaced"]);
    await rig.mineDeep();
    expect((await rig.depositsOf("frank")).map(({ status }) => status)).toEqual(["orphaned"]);
    expect(await rig.balancesOf("frank")).toEqual({});
  });

  it("does no harm with junk, nor by not answering: blocks are followed as ever", async () => {
    const { anvil } = rig;
    const grace = await rig.watch("grace");
    const junk = [
      null,
      7,
      "0x12",
      {},
      { hash: "0x", input: `0x${"00".repeat(1_000_000)}` },
      { type: "0x7f" },
    ];
    proxy.lie(result(junk), { methods: ["eth_getFilterChanges"] });
    proxy.resetCalls();
    await waitFor(() => (proxy.calls.get("eth_getFilterChanges") ?? 0) > 1, { what: "the junk to be taken" });
    await anvil.sendEth(grace, ETHER, anvil.account(8));
    await rig.mineDeep();
    expect(await rig.balancesOf("grace")).toEqual({ ETH: [0n, ETHER] });

    const mempoolMethods = ["eth_getFilterChanges", "eth_newPendingTransactionFilter", "txpool_content"];
    proxy.lie(hang(), { methods: [...mempoolMethods, "eth_getTransactionByHash"] });
    proxy.resetCalls();
    await waitFor(() => [...proxy.calls.keys()].some((method) => mempoolMethods.includes(method)), {
      what: "a question that is never answered",
    });
    await anvil.sendEth(grace, ETHER, anvil.account(8));
    await rig.mineDeep();
    expect(await rig.balancesOf("grace")).toEqual({ ETH: [0n, 2n * ETHER] });
    expect(await rig.daemon.readyz()).toMatchObject({ status: 200 });
    proxy.tellTruth();
    await rig.quiet();
  });

  it("is counted by status while it waits", async () => {
    const { anvil, daemon } = rig;
    const counted = async () => {
      const { stdout } = await daemon.command("status", "--json");
      return (JSON.parse(stdout) as { seenPayments: unknown[] }).seenPayments;
    };
    const payment = await anvil.sendEth(await rig.watch("heidi"), ETHER, anvil.account(9));
    await untilTold(payment, "seen");
    expect(await counted()).toMatchObject([{ chainId: anvil.chainId, count: 1 }]);
    await anvil.mine();
    await untilTold(payment, "mined");
    expect(await counted()).toEqual([]);
  });

  it("is looked at by doctor, which says how or that no node allows it", async () => {
    const examine = async () => {
      const doctor = await rig.daemon.command("doctor", "--json");
      const { findings } = JSON.parse(doctor.stdout) as {
        findings: { part: string; level: string; found: string }[];
      };
      return findings.filter(({ part }) => part.endsWith("mempool"));
    };
    expect(await examine()).toMatchObject([
      { level: "ok", found: expect.stringContaining("eth_newPendingTransactionFilter") },
    ]);
    proxy.lie(methodMissing(), { methods: ["eth_newPendingTransactionFilter", "txpool_content"] });
    proxy.lie(withoutPendingBlock, { methods: ["eth_getBlockByNumber"] });
    expect(await examine()).toMatchObject([
      { level: "fail", found: "No node lets its mempool be looked at" },
    ]);
    proxy.tellTruth();
  });
});
