/** What becomes of seen payments, against a real PostgreSQL, with nodes that say what the test wants. */
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { deleteEndedSeenPayments } from "../deposits/seen-payment-store.ts";
import { listUserBalances } from "../ledger/ledger-store.ts";
import { addressOf, blockOf, hashOf, MERCHANT_ID } from "../testing/factory.ts";
import {
  createWatchedMempool,
  DROP_AFTER_MS,
  paymentOf,
  type WatchedMempool,
} from "../testing/watched-mempool.ts";

let mempool: WatchedMempool;
beforeEach(async () => {
  mempool = await createWatchedMempool();
});
afterEach(() => mempool.chain.test.drop());

describe("a seen payment that is mined", () => {
  it("names its deposit as soon as that stands, and is told with it", async () => {
    mempool.node.waiting = [paymentOf("1")];
    await mempool.look();
    const { deposits } = await mempool.mine(1, "1");
    await mempool.look();
    const { hash } = blockOf(1);
    expect(await mempool.onlySeen()).toMatchObject({
      status: "mined",
      sequence: 2,
      block: { number: 1n, hash },
      depositIds: deposits.map((deposit) => deposit.id),
    });
    expect(await mempool.told()).toEqual(["1 seen", "2 mined"]);
  });

  it("names no deposit when it failed", async () => {
    mempool.node.waiting = [paymentOf("1")];
    await mempool.look();
    await mempool.mine(1);
    mempool.node.waiting = [];
    mempool.node.whereabouts.set(hashOf("tx 1"), {
      is: "mined",
      block: { number: 1n, hash: blockOf(1).hash },
    });
    await mempool.look();
    expect(await mempool.onlySeen()).toMatchObject({ status: "mined", depositIds: [] });
  });

  it("waits for its block to be ingested, whatever a node says", async () => {
    mempool.node.waiting = [paymentOf("1")];
    await mempool.look();
    mempool.node.whereabouts.set(hashOf("tx 1"), {
      is: "mined",
      block: { number: 1n, hash: blockOf(1).hash },
    });
    await mempool.look();
    expect((await mempool.onlySeen()).status).toBe("seen");
    await mempool.mine(1, undefined, "B", "A");
    await mempool.look();
    expect((await mempool.onlySeen()).status).toBe("seen");
  });

  it("is so even after it was dropped", async () => {
    mempool.node.waiting = [paymentOf("1")];
    await mempool.look();
    await mempool.forget();
    expect((await mempool.onlySeen()).status).toBe("dropped");
    await mempool.mine(1, "1");
    await mempool.look();
    expect(await mempool.told()).toEqual(["1 seen", "2 dropped", "3 mined"]);
  });

  it("A13: says that it is mined and made no deposit, when it fails in a block after it was dropped", async () => {
    mempool.node.waiting = [paymentOf("1")];
    await mempool.look();
    await mempool.forget();
    await mempool.mine(1);
    mempool.node.whereabouts.set(hashOf("tx 1"), {
      is: "mined",
      block: { number: 1n, hash: blockOf(1).hash },
    });
    await mempool.look();
    expect(await mempool.onlySeen()).toMatchObject({ status: "mined", depositIds: [] });
    expect(await mempool.told()).toEqual(["1 seen", "2 dropped", "3 mined"]);
  });

  it("A13: waits again when a reorg takes its block, and is replaced when another has its nonce then", async () => {
    mempool.node.waiting = [paymentOf("1")];
    await mempool.look();
    await mempool.mine(1, "1");
    await mempool.look();
    await mempool.chain.undo(blockOf(1), blockOf(0));
    await mempool.mine(1, undefined, "B", "A");
    mempool.node.waiting = [];
    mempool.node.nonceUse = { isUsed: true, by: hashOf("tx other") };
    await mempool.look();
    expect(await mempool.told()).toEqual(["1 seen", "2 mined", "3 seen", "4 replaced"]);
    expect(await mempool.onlySeen()).toMatchObject({
      replacedBy: hashOf("tx other"),
      block: null,
      depositIds: [],
    });
    expect(await listUserBalances(mempool.chain.test.database, MERCHANT_ID, "alice")).toEqual([]);
  });

  it("is mined again on the other branch", async () => {
    mempool.node.waiting = [paymentOf("1")];
    await mempool.look();
    await mempool.mine(1, "1");
    await mempool.look();
    await mempool.chain.undo(blockOf(1), blockOf(0));
    await mempool.mine(1, undefined, "B", "A");
    await mempool.mine(2, "1", "B");
    await mempool.look();
    expect(await mempool.told()).toEqual(["1 seen", "2 mined", "3 seen", "4 mined"]);
    expect((await mempool.onlySeen()).block).toEqual({ number: 2n, hash: blockOf(2, "B").hash });
  });
});

describe("a seen payment that is not mined", () => {
  it("A13: is replaced at once when another with its nonce waits in its place", async () => {
    mempool.node.waiting = [paymentOf("1")];
    await mempool.look();
    mempool.node.waiting = [paymentOf("2", { to: addressOf("stranger") })];
    await mempool.look();
    expect(await mempool.onlySeen()).toMatchObject({ status: "replaced", replacedBy: hashOf("tx 2") });
    expect(await mempool.told()).toEqual(["1 seen", "2 replaced"]);
  });

  it("stays while any node has it waiting, though another has what would replace it", async () => {
    mempool.node.waiting = [paymentOf("1"), paymentOf("2", { to: addressOf("stranger") })];
    await mempool.look();
    await mempool.look();
    expect(await mempool.told()).toEqual(["1 seen"]);
  });

  it("is replaced by what is in a block, though a node goes on telling of it", async () => {
    mempool.node.waiting = [paymentOf("1"), paymentOf("2", { nonce: 4n })];
    await mempool.look();
    mempool.node.nonceUse = { isUsed: true, by: hashOf("tx other") };
    await mempool.look();
    expect(await mempool.told()).toEqual(["1 seen", "1 seen"]);
    // There is a rival for the first; the nonce of the second is asked for now and then.
    mempool.node.waiting.push(paymentOf("3", { to: addressOf("stranger") }));
    await mempool.look();
    const [first] = (await mempool.seenPayments()).filter((seen) => seen.nonce === 3n);
    expect(first).toMatchObject({ status: "replaced", replacedBy: hashOf("tx other") });
    mempool.node.waiting = [paymentOf("2", { nonce: 4n })];
    await mempool.clock.advance(DROP_AFTER_MS);
    await mempool.look();
    expect((await mempool.seenPayments()).map((seen) => seen.status)).toEqual(["replaced", "replaced"]);
  });

  it("is not replaced by one that nobody knows any more", async () => {
    mempool.node.waiting = [paymentOf("1"), paymentOf("2", { to: addressOf("stranger") })];
    await mempool.look();
    mempool.node.waiting = [];
    await mempool.look();
    expect((await mempool.onlySeen()).status).toBe("seen");
  });

  it("A13: is dropped when no node has known it for ten blocks' time, and not before", async () => {
    mempool.node.waiting = [paymentOf("1")];
    await mempool.look();
    mempool.node.waiting = [];
    await mempool.look();
    await mempool.clock.advance(DROP_AFTER_MS - 1);
    await mempool.look();
    expect((await mempool.onlySeen()).status).toBe("seen");
    await mempool.clock.advance(1);
    await mempool.look();
    expect(await mempool.onlySeen()).toMatchObject({ status: "dropped", replacedBy: null });
    expect(await mempool.told()).toEqual(["1 seen", "2 dropped"]);
  });

  it("counts the time anew when a node knows it again", async () => {
    mempool.node.waiting = [paymentOf("1")];
    await mempool.look();
    mempool.node.waiting = [];
    await mempool.look();
    await mempool.clock.advance(DROP_AFTER_MS - 1);
    mempool.node.waiting = [paymentOf("1")];
    await mempool.look();
    mempool.node.waiting = [];
    await mempool.look();
    await mempool.clock.advance(1);
    await mempool.look();
    expect((await mempool.onlySeen()).status).toBe("seen");
  });

  it("is neither dropped nor replaced while no node answers", async () => {
    mempool.node.waiting = [paymentOf("1")];
    await mempool.look();
    mempool.node.isAway = true;
    await mempool.look();
    await mempool.clock.advance(10 * DROP_AFTER_MS);
    await mempool.look();
    expect((await mempool.onlySeen()).status).toBe("seen");
  });

  it("is replaced by nobody knows what when its nonce is used and no near block says by whom", async () => {
    mempool.node.waiting = [paymentOf("1")];
    await mempool.look();
    mempool.node.nonceUse = { isUsed: true, by: null };
    await mempool.forget();
    expect(await mempool.onlySeen()).toMatchObject({ status: "replaced", replacedBy: null });
  });

  it("is not replaced by itself: its own block may be ahead of the node that was asked", async () => {
    mempool.node.waiting = [paymentOf("1")];
    await mempool.look();
    mempool.node.nonceUse = { isUsed: true, by: hashOf("tx 1") };
    await mempool.forget();
    expect((await mempool.onlySeen()).status).toBe("seen");
  });

  it("is seen again, with the next sequence, when it comes back", async () => {
    mempool.node.waiting = [paymentOf("1")];
    await mempool.look();
    await mempool.forget();
    mempool.node.waiting = [paymentOf("1")];
    await mempool.look();
    expect(await mempool.told()).toEqual(["1 seen", "2 dropped", "3 seen"]);
    expect((await mempool.onlySeen()).status).toBe("seen");
  });
});

describe("old seen payments", () => {
  it("are deleted a week after they ended, their events stay, and the sequence goes on if one comes back", async () => {
    mempool.node.waiting = [paymentOf("1"), paymentOf("2", { nonce: 4n })];
    await mempool.look();
    mempool.node.waiting = [paymentOf("2", { nonce: 4n })];
    await mempool.look();
    await mempool.clock.advance(DROP_AFTER_MS);
    await mempool.look();
    expect(await deleteEndedSeenPayments(mempool.chain.test.database, 7)).toBe(0);
    await mempool.chain.test.database.query(
      "UPDATE seen_payments SET changed_at = now() - interval '8 days'",
    );
    expect(await deleteEndedSeenPayments(mempool.chain.test.database, 7)).toBe(1);
    expect((await mempool.seenPayments()).map((seen) => seen.status)).toEqual(["seen"]);
    expect(await mempool.told()).toHaveLength(3);
    mempool.node.waiting = [paymentOf("1"), paymentOf("2", { nonce: 4n })];
    await mempool.look();
    const [back] = (await mempool.seenPayments()).filter((seen) => seen.txHash === hashOf("tx 1"));
    expect(back).toMatchObject({ status: "seen", sequence: 3 });
  });
});
