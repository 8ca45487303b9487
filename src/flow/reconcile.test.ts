/** Deposits against the chain, on a real node: what is planted in the database is found, in both directions. */
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { createChainNodes } from "../rpc/chain-nodes.ts";
import { systemClock } from "../runtime/clock.ts";
import type { ChainConfig } from "../runtime/config/config.ts";
import { silentLogger } from "../runtime/logger.ts";
import { getChainState } from "../scanner/chain-store.ts";
import { type Anvil, startAnvil } from "../testing/anvil.ts";
import type { TestDatabase } from "../testing/database.ts";
import { addressOf, assetOf, CHAIN_ID } from "../testing/factory.ts";
import { startFollower } from "../testing/follower.ts";
import { createMerchantDatabase } from "../testing/merchant-database.ts";
import { testChain } from "../testing/test-chain.ts";
import { waitFor } from "../testing/wait-for.ts";
import { reconcileBlocks } from "./reconcile.ts";
import { registerChains } from "./register-chains.ts";

let test: TestDatabase;
let anvil: Anvil;
let chain: ChainConfig;

/** Alice gets an ether in block 1 and two in block 3. */
beforeEach(async () => {
  anvil = await startAnvil({ mining: "manual" });
  test = await createMerchantDatabase("alice");
  chain = testChain([anvil.url], { assets: [assetOf({ minimumBaseUnits: 10n })] });
  // Registered long ago, as far as the blocks can tell.
  await test.database.query("UPDATE watched_addresses SET created_at = now() - interval '1 day'");
  await anvil.sendEth(addressOf("alice"), 10n ** 18n);
  await anvil.mine();
  await anvil.sendEth(addressOf("stranger"), 10n ** 18n);
  await anvil.sendEth(addressOf("alice"), 5n);
  await anvil.mine();
  await anvil.sendEth(addressOf("alice"), 2n * 10n ** 18n);
  const { hash } = await anvil.mine();
  const follower = await startFollower(test, { chain });
  await waitFor(async () => (await getChainState(test.database, CHAIN_ID)).cursorHash === hash, {
    timeoutMs: 60_000,
  });
  await follower.stop();
});
afterEach(async () => {
  await test.drop();
  await anvil.stop();
});

async function reconcile() {
  const nodes = createChainNodes({ chain, clock: systemClock, logger: silentLogger });
  try {
    const { assets } = await registerChains(test.database, [chain], silentLogger);
    return await reconcileBlocks(
      { database: test.database, chain, assets: assets.get(CHAIN_ID) ?? [], nodes: nodes.backfill },
      [1n, 2n, 3n],
    );
  } finally {
    await nodes.close();
  }
}

describe("reconciliation", () => {
  it("finds nothing where the deposits are what the chain says, dust and strangers included", async () => {
    expect(await reconcile()).toEqual([]);
  });

  it("names a deposit that is missing, one that is not on the chain, and one that differs", async () => {
    await test.database.query("UPDATE deposits SET status = 'orphaned' WHERE block_number = 1");
    await test.database.query("UPDATE deposits SET amount = amount + 1 WHERE block_number = 3");
    await test.database.query(
      `INSERT INTO deposits SELECT (jsonb_populate_record(d, '{"id": "dep_invented", "source": "log:7"}')).*
       FROM deposits d WHERE d.block_number = 3`,
    );
    const found = await reconcile();
    expect(found.map((each) => [each.kind, each.blockNumber])).toEqual([
      ["missing", 1n],
      ["differs", 3n],
      ["not_on_chain", 3n],
    ]);
    expect(found[2]).toMatchObject({ depositId: "dep_invented", chainSays: null });
  });

  it("says when a kept block is of another branch than the chain's", async () => {
    await test.database.query("UPDATE block_refs SET hash = sha256(hash) WHERE number = 2");
    expect((await reconcile()).map((each) => [each.kind, each.blockNumber])).toEqual([["other_branch", 2n]]);
  });

  it("asks for no deposit to an address that was registered after its block", async () => {
    await test.database.query("UPDATE deposits SET status = 'orphaned' WHERE block_number = 1");
    await test.database.query("UPDATE watched_addresses SET created_at = now() + interval '1 day'");
    expect(await reconcile()).toEqual([]);
  });
});
