/** Blocks that the cursor has passed, ingested again. */
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { registerAddress } from "../merchants/address-store.ts";
import { addressOf, CHAIN_ID, MERCHANT_ID } from "../testing/factory.ts";
import { alice, createFollowedChain, type FollowedChain } from "../testing/followed-chain.ts";
import { contextOf } from "../testing/follower.ts";
import { type RescanRange, rescan } from "./rescan.ts";
import { settleDeposits } from "./settle-deposits.ts";

const ETHER = 10n ** 18n;

let chain: FollowedChain;
beforeEach(async () => {
  chain = await createFollowedChain();
});
afterEach(() => chain.stop());

describe("a rescan", () => {
  it("D13: finds the deposit of an address that was registered after it, once", async () => {
    const late = addressOf("late");
    await chain.follow();
    await chain.anvil.sendEth(late, ETHER);
    await chain.anvil.sendEth(alice, ETHER);
    await chain.anvil.mine(6);
    await chain.cursorAt(6n);
    await registerAddress(chain.test.database, { address: late, merchantId: MERCHANT_ID, userId: "late" });
    const again = () => rescanAll({ from: 0n, to: 1_000n });
    expect((await again()).deposits.map((deposit) => deposit.userId)).toEqual(["late"]);
    expect(await again()).toMatchObject({ blockCount: 7, deposits: [] });
    await settleDeposits(chain.test.database, CHAIN_ID);
    await chain.statusIs("unlocked");
    expect(await chain.deposits()).toHaveLength(2);
  });

  it("looks for one address alone when it is asked to", async () => {
    await chain.anvil.mine(1);
    await chain.follow();
    await chain.cursorAt(1n);
    expect(
      await rescanAll({ from: 0n, to: 1n, only: new Map([[alice, { from: 0n, to: 1n }]]) }),
    ).toMatchObject({
      blockCount: 2,
      deposits: [],
    });
    await expect(rescanAll({ from: 5n, to: 9n })).rejects.toMatchObject({ code: "invalid_request" });
  });
});

async function rescanAll(range: RescanRange) {
  const context = await contextOf(chain.test, chain.chain);
  return rescan({ context, chain: chain.chain, nodes: chain.nodes().backfill }, range);
}
