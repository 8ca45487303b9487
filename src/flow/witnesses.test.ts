/** Settling only what enough nodes hold, against a real PostgreSQL with hand-made blocks. */
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { BlockHeader } from "../core/chain.ts";
import type { Sql } from "../db/database.ts";
import { listDeposits } from "../deposits/deposit-list-store.ts";
import { getChainState, recordHead, recordWitnessed, registerChain } from "../scanner/chain-store.ts";
import type { TestDatabase } from "../testing/database.ts";
import {
  addressOf,
  assetOf,
  blockOf,
  blockWith,
  CHAIN_ID,
  MERCHANT_ID,
  transferOf,
} from "../testing/factory.ts";
import { createHandmadeChain, type HandmadeChain } from "../testing/handmade-chain.ts";
import { settleDeposits } from "./settle-deposits.ts";

const LEASE = 0n;
const alice = addressOf("alice");

let test: TestDatabase;
let chain: HandmadeChain;

/** The deposit stands in block 1; credited at depth 3, unlocked when finalized. */
beforeEach(async () => {
  const policy = [
    {
      upToBaseUnits: null,
      credit: { depth: 3, tag: null },
      unlock: { depth: null, tag: "finalized" as const },
    },
  ];
  chain = await createHandmadeChain({ assets: [assetOf({ policy })], users: ["alice"] });
  test = chain.test;
  await registerChain(test.database, CHAIN_ID, "local", 2);
  await chain.ingest(
    blockOf(0),
    blockWith(blockOf(1), [transferOf({ to: alice, tx: "1" })]),
    ...[2, 3, 4, 5].map((number) => blockWith(blockOf(number))),
  );
});
afterEach(() => test.drop());

const witnessed = (block: BlockHeader, leaseToken = LEASE) =>
  test.database.transaction((tx: Sql) => recordWitnessed(tx, CHAIN_ID, leaseToken, block));
const witnessedNumber = async () => (await getChainState(test.database, CHAIN_ID)).witnessedNumber;
const settled = async () => {
  await settleDeposits(test.database, CHAIN_ID);
  const [found] = await listDeposits(test.database, { merchantId: MERCHANT_ID, limit: 1 });
  return found?.deposit.status;
};

describe("a chain that wants two witnesses", () => {
  it("C10: credits at exactly the depth that enough nodes hold, however deep the cursor is", async () => {
    expect(await settled()).toBe("pending");
    await witnessed(blockOf(2));
    expect(await settled()).toBe("pending");
    await witnessed(blockOf(3));
    expect(await settled()).toBe("credited");
  });

  it("C10: believes no tag above the newest block that enough nodes hold", async () => {
    await witnessed(blockOf(3));
    expect(await settled()).toBe("credited");
    await chain.undo(blockOf(5), blockOf(0));
    await chain.ingest(
      blockOf(0),
      blockWith(blockOf(1, "B", "A"), [transferOf({ to: alice, tx: "1" })]),
      ...[2, 3, 4].map((number) => blockWith(blockOf(number, "B"))),
    );
    const tags = { safeNumber: 4n, finalizedNumber: 4n };
    await recordHead(test.database, CHAIN_ID, LEASE, { headNumber: 4n, ...tags });
    expect(await witnessedNumber()).toBe(0n);
    expect(await settled()).toBe("pending");
    await witnessed(blockOf(4, "B"));
    expect(await settled()).toBe("unlocked");
  });

  it("C10: counts no block of a branch that was left, nor one that another follower was told of", async () => {
    expect(await witnessed(blockOf(3, "B"))).toBe(false);
    expect(await witnessed(blockOf(3), 7n)).toBe(false);
    expect(await witnessedNumber()).toBeNull();
    expect(await witnessed(blockOf(5))).toBe(true);
    expect(await witnessed(blockOf(4))).toBe(false); // a late answer takes nothing back
    expect(await witnessedNumber()).toBe(5n);
    await chain.undo(blockOf(5), blockOf(2));
    expect(await witnessedNumber()).toBe(2n);
  });

  it("credits by the cursor again once no witnesses are asked for", async () => {
    await registerChain(test.database, CHAIN_ID, "local", 1);
    expect(await settled()).toBe("credited");
  });
});
