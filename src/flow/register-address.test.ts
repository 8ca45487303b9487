/** Derived addresses, and the blocks that pay to them. */
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { parseExtendedKey } from "../merchants/extended-key.ts";
import { setExtendedKey, takeNextAddress } from "../merchants/extended-key-store.ts";
import { blockOf, blockWith, MERCHANT_ID, transferOf } from "../testing/factory.ts";
import { createHandmadeChain, type HandmadeChain } from "../testing/handmade-chain.ts";
import { waitFor } from "../testing/wait-for.ts";
import { walletAddress, walletKey } from "../testing/wallet.ts";
import { registerAddressFrom } from "./register-address.ts";

let chain: HandmadeChain;
beforeEach(async () => {
  chain = await createHandmadeChain();
  await chain.test.database.transaction((tx) =>
    setExtendedKey(tx, MERCHANT_ID, parseExtendedKey(walletKey().public), 0),
  );
});
afterEach(() => chain.test.drop());

describe("an address that is derived", () => {
  it("has what is paid to it in the next block, for its user or its order", async () => {
    const { database } = chain.test;
    await registerAddressFrom(database, { merchantId: MERCHANT_ID, userId: "carol" }, []);
    const wanted = { merchantId: MERCHANT_ID, userId: "dan", orderNo: "A-1" };
    await database.transaction((tx) => takeNextAddress(tx, wanted));
    const paid = [0, 1, 2].map((index) => transferOf({ to: walletAddress(index), tx: `${index}` }));
    await chain.ingest(blockOf(0), blockWith(blockOf(1), paid));
    const deposits = await chain.deposits();
    expect(deposits.map(({ userId, orderNo, status }) => [userId, orderNo, status]).sort()).toEqual([
      ["carol", null, "pending"],
      ["dan", "A-1", "pending"],
    ]);
  });

  it("D12: has what is paid to it in a block whose ingest began before it was committed", async () => {
    const { database } = chain.test;
    const wanted = { merchantId: MERCHANT_ID, userId: "carol", orderNo: null };
    const { ingesting } = await database.transaction(async (tx) => {
      const { address } = await takeNextAddress(tx, wanted);
      const block = blockWith(blockOf(1), [transferOf({ to: address, tx: "1" })]);
      const begun = chain.ingest(blockOf(0), block);
      await waitFor(async () => {
        const gate = "SELECT FROM pg_locks WHERE NOT granted AND relation = 'registration_gate'::regclass";
        return (await database.query(gate)).length > 0;
      });
      return { ingesting: begun };
    });
    expect((await ingesting).deposits.map(({ userId }) => userId)).toEqual(["carol"]);
  });
});
