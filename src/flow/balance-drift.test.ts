/** Balances on a real chain beside the deposits in a real database; what is planted in either shows as drift. */
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { KnownAsset } from "../core/asset.ts";
import type { ChainNodes } from "../rpc/chain-nodes.ts";
import { silentLogger } from "../runtime/logger.ts";
import { getChainState } from "../scanner/chain-store.ts";
import { type Anvil, startAnvil } from "../testing/anvil.ts";
import type { TestDatabase } from "../testing/database.ts";
import { addressOf, assetOf, CHAIN_ID } from "../testing/factory.ts";
import { startFollower } from "../testing/follower.ts";
import { createMerchantDatabase } from "../testing/merchant-database.ts";
import { testNodes } from "../testing/nodes.ts";
import { testChain } from "../testing/test-chain.ts";
import type { TestToken } from "../testing/test-node.ts";
import { waitFor } from "../testing/wait-for.ts";
import { findDrift } from "./balance-drift.ts";
import { registerChains } from "./register-chains.ts";

const ETHER = 10n ** 18n;
const alice = addressOf("alice");
const bob = addressOf("bob");

let test: TestDatabase;
let anvil: Anvil;
let token: TestToken;
let nodes: ChainNodes;
let assets: readonly KnownAsset[];
let last: bigint;

/** Alice has two ether, five units of dust and seven tokens; Bob has an ether. */
beforeEach(async () => {
  anvil = await startAnvil({ mining: "manual" });
  token = await anvil.deployToken();
  test = await createMerchantDatabase("alice", "bob");
  const chain = testChain([anvil.url], {
    assets: [
      assetOf({ minimumBaseUnits: 10n }),
      assetOf({ token: token.address, currency: "USDT", decimals: 6 }),
    ],
  });
  await anvil.sendEth(alice, 2n * ETHER);
  await anvil.sendEth(alice, 5n);
  await anvil.sendEth(bob, ETHER);
  await anvil.transferToken(token, alice, 7n);
  const { hash, number } = await anvil.mine();
  last = number;
  const follower = await startFollower(test, { chain });
  await waitFor(async () => (await getChainState(test.database, CHAIN_ID)).cursorHash === hash, {
    timeoutMs: 60_000,
  });
  await follower.stop();
  assets = (await registerChains(test.database, [chain], silentLogger)).assets.get(CHAIN_ID) ?? [];
  nodes = testNodes([anvil.url]);
});
afterEach(async () => {
  await nodes.close();
  await test.drop();
  await anvil.stop();
});

const drift = (sample: number | null = null) =>
  findDrift({ database: test.database, chainId: CHAIN_ID, assets, nodes }, last, sample);
const essence = async (sample: number | null = null) =>
  (await drift(sample)).drifts.map((each) => [each.address, each.currency, each.driftBaseUnits]);

describe("balances beside what came in", () => {
  it("finds none where all that came in is there, dust included, of coins and tokens", async () => {
    expect(await drift()).toMatchObject({ looked: 3, even: 3, moreCount: 0, lessCount: 0, drifts: [] });
    expect(await drift(2)).toMatchObject({ looked: 2, even: 2 });
  });

  it("names an address that holds more than came in: a deposit that is missing", async () => {
    await test.database.query(
      "UPDATE deposits SET amount = amount - 1 WHERE token IS NULL AND user_id = 'bob'",
    );
    await test.database.query("UPDATE deposits SET status = 'orphaned' WHERE amount = 5");
    expect(await essence()).toEqual(
      [
        [alice, "ETH", 5n],
        [bob, "ETH", 1n],
      ].sort(),
    );
  });

  it("names an address that holds less: a deposit that is not there, and one that was swept", async () => {
    await test.database.query("UPDATE deposits SET amount = amount + 3 WHERE token IS NOT NULL");
    expect(await essence()).toEqual([[alice, "USDT", -3n]]);
  });

  it("looks at the balance after that block, whatever came later", async () => {
    await anvil.sendEth(bob, 9n * ETHER);
    await anvil.mine();
    expect(await essence()).toEqual([]);
  });

  it("says how many balances no node tells, and refuses a block of another branch", async () => {
    const mute: Pick<ChainNodes, "balance" | "backfill"> = {
      backfill: nodes.backfill,
      balance: async () => ({ kind: "untold", reason: "missing trie node" }),
    };
    const parts = { database: test.database, chainId: CHAIN_ID, assets, nodes: mute };
    expect(await findDrift(parts, last, null)).toMatchObject({
      looked: 3,
      untoldCount: 3,
      untoldReason: "missing trie node",
    });
    await test.database.query("UPDATE block_refs SET hash = sha256(hash) WHERE number = $1", [last]);
    await expect(drift()).rejects.toMatchObject({ code: "node_answer_invalid" });
  });
});
