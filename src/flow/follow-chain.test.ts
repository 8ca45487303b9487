/** The follower on a real node with real competing branches, and a real database. */
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { BlockHeader } from "../core/chain.ts";
import { listUserBalances } from "../ledger/ledger-store.ts";
import type { ChainNodes } from "../rpc/chain-nodes.ts";
import { addressOf, assetOf, atDepth, hashOf, MERCHANT_ID } from "../testing/factory.ts";
import { alice, createFollowedChain, type FollowedChain } from "../testing/followed-chain.ts";
import { changed } from "../testing/lies.ts";
import { startNodeProxy } from "../testing/node-proxy.ts";
import { waitFor } from "../testing/wait-for.ts";

const ETHER = 10n ** 18n;
/** Credited at depth 3, unlocked when final. */
const policy = [
  { upToBaseUnits: null, credit: atDepth(3), unlock: { depth: null, tag: "finalized" as const } },
];

let chain: FollowedChain;
beforeEach(async () => {
  chain = await createFollowedChain({ reorgWindow: 8, assets: [assetOf({ policy })] }, { slotsInAnEpoch: 2 });
});
afterEach(() => chain.stop());

const locked = async () =>
  (await listUserBalances(chain.test.database, MERCHANT_ID, "alice"))[0]?.lockedBaseUnits ?? 0n;

describe("following a chain", { timeout: 120_000 }, () => {
  it("catches up from the start block, then follows the head", async () => {
    await chain.anvil.sendEth(alice, ETHER);
    await chain.anvil.mine(30);
    await chain.follow();
    await chain.cursorAt(30n);
    const head = await chain.anvil.mine(1);
    await chain.cursorAt(31n, head.hash);
  });

  it("goes on where it was after a stop, and misses nothing mined meanwhile", async () => {
    const first = await chain.follow();
    await chain.anvil.mine(2);
    await chain.cursorAt(2n);
    await first.stop();
    await chain.anvil.sendEth(alice, ETHER);
    await chain.anvil.mine(5);
    await chain.follow();
    await chain.cursorAt(7n);
    expect((await chain.onlyDeposit()).blockNumber).toBe(3n);
  });

  it("B11: credits at exactly N confirmations and unlocks when the block is finalized", async () => {
    await chain.follow();
    await chain.anvil.sendEth(alice, ETHER);
    await chain.anvil.mine(2);
    await chain.cursorAt(2n);
    expect((await chain.onlyDeposit()).status).toBe("pending");
    await chain.anvil.mine(1);
    await chain.cursorAt(3n);
    await chain.statusIs("credited");
    await chain.anvil.mine(10);
    await chain.statusIs("unlocked");
  });
});

describe("reorgs", { timeout: 120_000 }, () => {
  it("B1 and B2: orphans a deposit with its block, and finds it again elsewhere on the new branch", async () => {
    await chain.follow();
    const payment = await chain.anvil.sign({ to: alice, valueWei: ETHER });
    const other = await chain.anvil.sign({
      to: addressOf("bob"),
      valueWei: 1n,
      from: chain.anvil.account(1),
    });
    const point = await chain.anvil.forkPoint();
    const [, second] = await chain.anvil.mineBranch(point, [{ transactions: [payment] }, {}]);
    await chain.cursorAt(2n, second?.hash);
    const before = await chain.onlyDeposit();

    const branch = await chain.anvil.mineBranch(point, [{}, { transactions: [other, payment] }, {}]);
    await chain.cursorAt(3n, branch.at(-1)?.hash);
    const after = await chain.onlyDeposit();
    expect(after).toMatchObject({
      id: before.id,
      status: "pending",
      blockNumber: 2n,
      blockHash: branch[1]?.hash,
    });
    expect(await chain.moves(after.id)).toEqual(["pending", "orphaned", "pending"]);
  });

  it("B3: keeps one deposit when the same number has another hash", async () => {
    await chain.follow();
    const payment = await chain.anvil.sign({ to: alice, valueWei: ETHER });
    const point = await chain.anvil.forkPoint();
    const [first] = await chain.anvil.mineBranch(point, [{ transactions: [payment] }]);
    await chain.cursorAt(1n, first?.hash);
    const [other] = await chain.anvil.mineBranch(point, [{ transactions: [payment] }]);
    await chain.cursorAt(1n, other?.hash);
    expect(await chain.onlyDeposit()).toMatchObject({
      blockNumber: 1n,
      blockHash: other?.hash,
      status: "pending",
    });
  });

  it("B4: reverses what was credited when the reorg is deeper than the credit depth", async () => {
    await chain.follow();
    const payment = await chain.anvil.sign({ to: alice, valueWei: ETHER });
    const point = await chain.anvil.forkPoint();
    await chain.anvil.mineBranch(point, [{ transactions: [payment] }, {}, {}, {}]);
    await chain.statusIs("credited");
    expect(await locked()).toBe(ETHER);
    const branch = await chain.anvil.mineBranch(point, [{}, {}, {}, {}, {}]);
    await chain.cursorAt(5n, branch.at(-1)?.hash);
    const gone = await chain.onlyDeposit();
    expect(await chain.moves(gone.id)).toEqual(["pending", "credited", "reversed"]);
    expect(await locked()).toBe(0n);
  });

  it("B5: never credits a payment whose nonce pays somebody else on the new branch", async () => {
    await chain.follow();
    const payment = await chain.anvil.sign({ to: alice, valueWei: ETHER });
    const replaced = await chain.anvil.sign({ to: addressOf("bob"), valueWei: ETHER });
    const point = await chain.anvil.forkPoint();
    const [first] = await chain.anvil.mineBranch(point, [{ transactions: [payment] }]);
    await chain.cursorAt(1n, first?.hash);
    const branch = await chain.anvil.mineBranch(point, [{ transactions: [replaced] }, {}, {}, {}, {}]);
    await chain.cursorAt(5n, branch.at(-1)?.hash);
    expect((await chain.onlyDeposit()).status).toBe("orphaned");
  });

  it("B7: treats a chain that got shorter and grew differently as a reorg", async () => {
    await chain.follow();
    const payment = await chain.anvil.sign({ to: alice, valueWei: ETHER });
    const point = await chain.anvil.forkPoint();
    await chain.anvil.mineBranch(point, [{}, { transactions: [payment] }, {}]);
    await chain.cursorAt(3n);
    const [only] = await chain.anvil.mineBranch(point, [{}]);
    await chain.cursorAt(1n, only?.hash);
    expect((await chain.onlyDeposit()).status).toBe("orphaned");
  });

  it("B12: ends as the chain ends when branches flip back and forth five times", async () => {
    await chain.follow();
    const payment = await chain.anvil.sign({ to: alice, valueWei: ETHER });
    const point = await chain.anvil.forkPoint();
    for (let flip = 0; flip < 5; flip++) {
      const transactions = flip % 2 === 0 ? [payment] : [];
      const branch = await chain.anvil.mineBranch(point, [{ transactions }, {}]);
      await chain.cursorAt(2n, branch.at(-1)?.hash);
    }
    const deposit = await chain.onlyDeposit();
    expect(deposit.status).toBe("pending");
    expect(await chain.moves(deposit.id)).toEqual(["pending", "orphaned", "pending", "orphaned", "pending"]);
  });

  it("C10: undoes nothing for a head whose block no node can show", async () => {
    const proxy = await startNodeProxy(chain.anvil.url);
    const node = { url: proxy.url, wsUrl: null, maxConcurrency: null };
    const follower = await chain.follow({ chain: { ...chain.chain, nodes: [node] } });
    await chain.anvil.sendEth(alice, ETHER);
    await chain.anvil.mine(1);
    await chain.cursorAt(1n);
    const invented = `0x${"7".repeat(64)}`;
    proxy.lie(
      changed((block) => ({ ...(block as object), hash: invented })),
      { methods: ["eth_getBlockByNumber"] },
    );
    const asked = () =>
      (proxy.calls.get("eth_getBlockByHash") ?? 0) + (proxy.calls.get("eth_getBlockReceipts") ?? 0);
    const before = asked();
    await waitFor(() => asked() > before + 3, {
      timeoutMs: 60_000,
      what: "the invented block to be asked for",
    });
    expect(await chain.moves((await chain.onlyDeposit()).id)).toEqual(["pending"]);
    proxy.tellTruth();
    const head = await chain.anvil.mine(1);
    await chain.cursorAt(2n, head.hash);
    await follower.stop();
    await proxy.stop();
  });

  it("C9: goes on by polling when a socket tells of blocks that are nowhere", async () => {
    let tell: (header: BlockHeader, isFromLeader: boolean) => void = () => undefined;
    const real = chain.nodes();
    const nodes: ChainNodes = {
      ...real,
      onHint: (listener) => {
        tell = listener;
        return () => undefined;
      },
    };
    // Whatever it fails at ends it.
    await chain.follow({ nodes, isUnsupervised: true });
    for (let number = 1n; number <= 3n; number++) {
      const { hash, timestamp } = await chain.anvil.head();
      await chain.cursorAt(number - 1n, hash);
      tell({ number, hash: hashOf(`invented ${number}`), parentHash: hash, timestamp }, true);
      await chain.anvil.mine(1);
    }
    await chain.cursorAt(3n);
  });
});
