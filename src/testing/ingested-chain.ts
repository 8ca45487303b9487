/** A chain in the database, whose blocks 1 to 3 a test makes, takes away and makes anew on another branch. */
import type { Transfer } from "../core/chain.ts";
import type { Deposit } from "../core/deposit.ts";
import type { Database } from "../db/database.ts";
import { listDeposits } from "../deposits/deposit-list-store.ts";
import { type IngestContext, ingestBlocks } from "../flow/ingest-block.ts";
import { undoReorg } from "../flow/undo-reorg.ts";
import { loadAddressWatch } from "../flow/watch-addresses.ts";
import { registerAddress } from "../merchants/address-store.ts";
import { systemRandom } from "../runtime/random.ts";
import { addressOf, assetOf, blockOf, blockWith, CHAIN_ID, MERCHANT_ID, seedChain, USDT } from "./factory.ts";

export interface IngestedChain {
  /** These transfers in block 1, which is deep enough then: assets credit at depth 3. */
  ingestDue(...transfers: Transfer[]): Promise<void>;
  /** Back to block 0; what `ingestDue` makes next is on another branch. */
  undo(): Promise<void>;
  /** The same without blocks: those 1 and 2, and then 3. */
  ingestNearlyDue(...transfers: Transfer[]): Promise<void>;
  deepen(): Promise<void>;
  deposits(): Promise<Deposit[]>;
  /** Sorted, such as `held screening`. */
  statuses(): Promise<string[]>;
}

/** Watches alice's address; ETH and USDT are listed. @param more over the ingest's context, read each time */
export async function createIngestedChain(
  database: Database,
  more: () => Partial<IngestContext> = () => ({}),
): Promise<IngestedChain> {
  const assets = await seedChain(database, [
    assetOf(),
    assetOf({ token: USDT, currency: "USDT", decimals: 6 }),
  ]);
  await registerAddress(database, { address: addressOf("alice"), merchantId: MERCHANT_ID, userId: "alice" });
  const context: IngestContext = {
    database,
    chainId: CHAIN_ID,
    assets: new Map(assets.map((asset) => [asset.token, asset])),
    nativeSource: "value",
    ownWallets: new Set(),
    reorgWindow: 64,
    watch: await loadAddressWatch(database, systemRandom),
  };
  let branch = "A";
  const blockAt = (number: number) =>
    number === 0 ? blockOf(0) : blockOf(number, branch, number === 1 ? "A" : branch);
  const claim = (number: number) => {
    const { hash } = blockAt(number);
    return { chainId: CHAIN_ID, number: BigInt(number), hash, leaseToken: 0n };
  };
  const ingest = async (after: number, blocks: Parameters<typeof ingestBlocks>[2]) =>
    void (await ingestBlocks({ ...context, ...more() }, claim(after), blocks));

  const ingestNearlyDue = (...transfers: Transfer[]) =>
    ingest(0, [blockWith(blockAt(1), transfers), blockWith(blockAt(2))]);
  const deepen = () => ingest(2, [blockWith(blockAt(3))]);
  const deposits = async () =>
    (await listDeposits(database, { merchantId: MERCHANT_ID, limit: 100 })).map((each) => each.deposit);
  return {
    ingestNearlyDue,
    deepen,
    ingestDue: async (...transfers) => {
      await ingestNearlyDue(...transfers);
      await deepen();
    },
    undo: async () => {
      await undoReorg(database, claim(3), blockOf(0));
      branch += "'";
    },
    deposits,
    statuses: async () =>
      (await deposits())
        .map(({ status, reason }) => (reason === null ? status : `${status} ${reason}`))
        .sort(),
  };
}
