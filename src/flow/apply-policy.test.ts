import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { KnownAsset, Threshold } from "../core/asset.ts";
import { listDeposits } from "../deposits/deposit-list-store.ts";
import type { TestDatabase } from "../testing/database.ts";
import {
  addressOf,
  assetOf,
  atDepth,
  blockOf,
  blockWith,
  CHAIN_ID,
  MERCHANT_ID,
  transferOf,
} from "../testing/factory.ts";
import { createHandmadeChain } from "../testing/handmade-chain.ts";
import { applyPolicy, previewPolicy } from "./apply-policy.ts";
import { settleDeposits } from "./settle-deposits.ts";

const alice = addressOf("alice");
const finalized: Threshold = { depth: null, tag: "finalized" };

let test: TestDatabase;
let asset: KnownAsset;

/** Deposits in blocks 1 and 8 under `credit: 3, unlock: 8`, the cursor at 9: the first is credited. */
beforeEach(async () => {
  const policy = [{ upToBaseUnits: null, credit: atDepth(3), unlock: atDepth(20) }];
  const chain = await createHandmadeChain({ assets: [assetOf({ policy })], users: ["alice"] });
  test = chain.test;
  asset = chain.assets[0] as KnownAsset;
  const transfersOf = (number: number) =>
    ({ 1: [transferOf({ to: alice, tx: "1" })], 8: [transferOf({ to: alice, tx: "8" })] })[number] ?? [];
  await chain.ingest(
    blockOf(0),
    ...[1, 2, 3, 4, 5, 6, 7, 8, 9].map((number) => blockWith(blockOf(number), transfersOf(number))),
  );
  await settleDeposits(test.database, CHAIN_ID);
});
afterEach(() => test.drop());

async function deposits(): Promise<string[]> {
  const found = await listDeposits(test.database, { merchantId: MERCHANT_ID, limit: 10 });
  return found
    .map(({ deposit }) => `${deposit.blockNumber} ${deposit.status} ${deposit.creditAt} ${deposit.unlockAt}`)
    .sort();
}

const under = (credit: Threshold, unlock: Threshold): KnownAsset[] => [
  { ...asset, policy: [{ upToBaseUnits: null, credit, unlock }] },
];

describe("a changed policy", () => {
  it("H5: credits at once what a lowered depth makes due, and leaves the rest to its time", async () => {
    expect(await deposits()).toEqual(["1 credited 3 20", "8 pending 3 20"]);
    const changes = await applyPolicy(test.database, CHAIN_ID, under(atDepth(2), atDepth(9)));
    expect(changes).toMatchObject([
      { stage: "credit", from: "3", to: "2", depositCount: 1, dueAtOnceCount: 1 },
      { stage: "unlock", from: "20", to: "9", depositCount: 2, dueAtOnceCount: 1 },
    ]);
    await settleDeposits(test.database, CHAIN_ID);
    expect(await deposits()).toEqual(["1 unlocked 3 9", "8 credited 2 9"]);
  });

  it("H5: never un-credits and never locks again when depths are raised", async () => {
    await applyPolicy(test.database, CHAIN_ID, under(atDepth(100), atDepth(200)));
    await settleDeposits(test.database, CHAIN_ID);
    expect(await deposits()).toEqual(["1 credited 3 200", "8 pending 100 200"]);

    await applyPolicy(test.database, CHAIN_ID, under(atDepth(1), atDepth(1)));
    await settleDeposits(test.database, CHAIN_ID);
    await applyPolicy(test.database, CHAIN_ID, under(atDepth(100), atDepth(200)));
    await settleDeposits(test.database, CHAIN_ID);
    expect(await deposits()).toEqual(["1 unlocked 3 1", "8 unlocked 1 1"]);
  });

  it("H5: waits for a tag where a depth was enough before", async () => {
    await applyPolicy(test.database, CHAIN_ID, under({ depth: 2, tag: "finalized" }, finalized));
    await settleDeposits(test.database, CHAIN_ID);
    expect(await deposits()).toEqual(["1 credited 3 finalized", "8 pending 2 and finalized finalized"]);
    await test.database.query("UPDATE chains SET finalized_number = 8");
    await settleDeposits(test.database, CHAIN_ID);
    expect(await deposits()).toEqual(["1 unlocked 3 finalized", "8 unlocked 2 and finalized finalized"]);
  });

  it("H5: is told beforehand and changes nothing then; the same policy again changes nothing", async () => {
    const before = await deposits();
    const preview = await previewPolicy(test.database, CHAIN_ID, under(atDepth(1), finalized));
    expect(
      preview.map(({ stage, to, depositCount, dueAtOnceCount }) => [stage, to, depositCount, dueAtOnceCount]),
    ).toEqual([
      ["credit", "1", 1, 1],
      ["unlock", "finalized", 2, 0],
    ]);
    expect(await deposits()).toEqual(before);
    expect(await applyPolicy(test.database, CHAIN_ID, [asset])).toEqual([]);
  });

  it("H5: counts as unlocked at once only what is credited, not what is still pending", async () => {
    const preview = await previewPolicy(test.database, CHAIN_ID, under(atDepth(3), atDepth(2)));
    expect(preview).toMatchObject([{ stage: "unlock", depositCount: 2, dueAtOnceCount: 1 }]);
  });

  it("leaves the deposits of an asset that is no longer listed as they are", async () => {
    expect(await applyPolicy(test.database, CHAIN_ID, [])).toEqual([]);
    expect(await deposits()).toEqual(["1 credited 3 20", "8 pending 3 20"]);
  });
});
