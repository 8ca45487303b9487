/** A settler and a reorg at the same moment, against a real PostgreSQL: whoever comes first has the chain to itself. */
import { afterEach, beforeEach, expect, it } from "vitest";
import type { Database } from "../db/database.ts";
import { addressOf, blockOf, blockWith, CHAIN_ID, transferOf } from "../testing/factory.ts";
import { createHandmadeChain, type HandmadeChain } from "../testing/handmade-chain.ts";
import { waitFor } from "../testing/wait-for.ts";
import { doesAnybodyWait, watchedDatabase } from "../testing/watched-database.ts";
import { settleDeposits } from "./settle-deposits.ts";

let chain: HandmadeChain;
beforeEach(async () => {
  chain = await createHandmadeChain();
});
afterEach(() => chain.test.drop());

/** Of a settler that has read the cursor: this happens before its first look at what is due. */
function databaseWith(beforeLook: () => Promise<void>): Database {
  let hasLooked = false;
  return watchedDatabase(chain.test.database, async (text) => {
    if (hasLooked || !text.includes("waiting_deposits")) return;
    hasLooked = true;
    await beforeLook();
  });
}

const untilSomebodyWaits = () =>
  waitFor(() => doesAnybodyWait(chain.test.database), { what: "the reorg to wait for the settler" });

it("B9: a reorg waits for the settler under way, whose cursor credits nothing on the new branch", async () => {
  const payment = transferOf({ to: addressOf("alice"), tx: "1" });
  const { deposits } = await chain.ingest(blockOf(0), blockWith(blockOf(1), [payment]));
  // Four deep, where three are enough for the credit.
  await chain.deepen(blockOf(1), 4);

  const takeOtherBranch = async () => {
    await chain.undo(blockOf(4), blockOf(0));
    await chain.ingest(blockOf(0), blockWith(blockOf(1, "B", "A")));
    // One deep; by the cursor of the branch that was left it would be three.
    await chain.ingest(blockOf(1, "B"), blockWith(blockOf(2, "B"), [payment]));
  };
  let taken: Promise<void> | undefined;
  const database = databaseWith(async () => {
    taken = takeOtherBranch();
    await Promise.race([untilSomebodyWaits(), taken]);
  });
  await settleDeposits(database, CHAIN_ID);
  await taken;
  expect(await chain.moves(deposits[0]?.id ?? "")).toEqual(["pending", "credited", "reversed", "pending"]);
  expect(await chain.balanceOf("alice")).toEqual([[0n, 0n]]);
});
