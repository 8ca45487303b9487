/** Deposits that a rule has held, made the way of all deposits: ingested, deep enough, settled. */
import type { Deposit } from "../core/deposit.ts";
import { listDeposits } from "../deposits/deposit-list-store.ts";
import { type IngestContext, ingestBlocks } from "../flow/ingest-block.ts";
import { settleDeposits } from "../flow/settle-deposits.ts";
import { undoReorg } from "../flow/undo-reorg.ts";
import { loadAddressWatch } from "../flow/watch-addresses.ts";
import { registerAddress } from "../merchants/address-store.ts";
import type { HoldRules } from "../review/hold-rules.ts";
import { systemRandom } from "../runtime/random.ts";
import type { TestDatabase } from "./database.ts";
import {
  addressOf,
  assetOf,
  atDepth,
  blockOf,
  blockWith,
  CHAIN_ID,
  MERCHANT_ID,
  seedChain,
  transferOf,
} from "./factory.ts";

export interface TestHolds {
  /** A deposit in a block of its own on branch A, held; each one another transfer. */
  hold(amountBaseUnits?: bigint): Promise<Deposit>;
  /** Another branch takes the place of the deposit's block and those above; `again`: it includes the transfer too. */
  reorg(deposit: Deposit, branch: string, again: boolean): Promise<void>;
  /** Settles, with everything held that is due; `free`: with nothing held. */
  settle(how?: "free"): Promise<void>;
  find(depositId: string): Promise<Deposit>;
}

const alice = addressOf("alice");
/** Every amount is over the limit. */
export const HOLD_ALL: HoldRules = {
  limitOf: ({ chainId, token }) => ({ chainId, token, currency: "ETH", decimals: 18, overBaseUnits: 0n }),
  filesWith: () => [],
  onNoAnswer: null,
};

/** Credit at depth 1, unlock at depth 3, for the user alice of the merchant of `seedChain`. */
export async function createTestHolds({ database }: Pick<TestDatabase, "database">): Promise<TestHolds> {
  const assets = await seedChain(database, [
    assetOf({ policy: [{ upToBaseUnits: null, credit: atDepth(1), unlock: atDepth(3) }] }),
  ]);
  await registerAddress(database, { address: alice, merchantId: MERCHANT_ID, userId: "alice" });
  const context: IngestContext = {
    database,
    chainId: CHAIN_ID,
    assets: new Map(assets.map((asset) => [asset.token, asset])),
    nativeSource: "value",
    ownWallets: new Set(),
    reorgWindow: 64,
    watch: await loadAddressWatch(database, systemRandom),
  };
  const transfers = new Map<string, ReturnType<typeof transferOf>>();
  /** The chain as it is: blocks by their number. */
  const blocks = [blockOf(0)];
  let branchOfTip = "A";
  const tipClaim = () => {
    const { number, hash } = blocks.at(-1) ?? blockOf(0);
    return { chainId: CHAIN_ID, number, hash, leaseToken: 0n };
  };
  const settle = async (how?: "free") => {
    await settleDeposits(database, CHAIN_ID, undefined, how === "free" ? null : HOLD_ALL);
  };
  const find = async (depositId: string) => {
    const found = await listDeposits(database, { merchantId: MERCHANT_ID, limit: 1_000 });
    const deposit = found.find((each) => each.deposit.id === depositId)?.deposit;
    if (deposit === undefined) throw new Error(`There is no deposit ${depositId}`);
    return deposit;
  };
  return {
    settle,
    find,
    hold: async (amountBaseUnits = 100n) => {
      const block = blockOf(blocks.length, branchOfTip);
      const transfer = transferOf({ to: alice, tx: `held ${block.number}`, amountBaseUnits });
      const { deposits } = await ingestBlocks(context, tipClaim(), [blockWith(block, [transfer])]);
      blocks.push(block);
      await settle();
      const [deposit] = deposits;
      if (deposit === undefined) throw new Error("Nothing was ingested");
      transfers.set(deposit.id, transfer);
      return find(deposit.id);
    },
    reorg: async (deposit, branch, again) => {
      const number = Number(deposit.blockNumber);
      const ancestor = blocks[number - 1] ?? blockOf(0);
      await undoReorg(database, tipClaim(), ancestor);
      blocks.length = number;
      const block = { ...blockOf(number, branch), parentHash: ancestor.hash };
      const transfer = transfers.get(deposit.id);
      await ingestBlocks(context, tipClaim(), [
        blockWith(block, again && transfer !== undefined ? [transfer] : []),
      ]);
      blocks.push(block);
      branchOfTip = branch;
      await settle();
    },
  };
}
