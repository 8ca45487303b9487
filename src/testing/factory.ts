/** Makes the rows and values that tests need: a merchant, assets, blocks with transfers. All deterministic. */
import { createHash } from "node:crypto";
import type { Asset, KnownAsset, Threshold } from "../core/asset.ts";
import type { BlockHeader, ListedTransfers, Transfer } from "../core/chain.ts";
import type { Address, Hash } from "../core/hex.ts";
import { UNVERIFIED } from "../core/verification.ts";
import type { Database } from "../db/database.ts";
import { registerAssets } from "../deposits/asset-store.ts";
import { registerChain } from "../scanner/chain-store.ts";
import { startCursor } from "../scanner/cursor-store.ts";

export const CHAIN_ID = 31337;
export const MERCHANT_ID = "mer_test";
export const USDT: Address = `0x${"cc".repeat(20)}`;

export const atDepth = (depth: number): Threshold => ({ depth, tag: null });

/** The n-th address of a kind: always the same one. */
export function addressOf(name: string): Address {
  return `0x${createHash("sha256").update(`address ${name}`).digest("hex").slice(0, 40)}`;
}

export function hashOf(name: string): Hash {
  return `0x${createHash("sha256").update(`hash ${name}`).digest("hex")}`;
}

/** A block named by its branch: `A` and `B` at the same number are competitors. */
export function blockOf(number: number, branch = "A", parentBranch = branch): BlockHeader {
  return {
    number: BigInt(number),
    hash: hashOf(`block ${number}${branch}`),
    parentHash: hashOf(`block ${number - 1}${parentBranch}`),
    timestamp: 1_700_000_000 + number * 12,
  };
}

export function transferOf(given: Partial<Transfer> & { to: Address; tx: string }): Transfer {
  const { tx, ...rest } = given;
  return {
    txHash: hashOf(`tx ${tx}`),
    source: "value",
    token: null,
    from: addressOf("payer"),
    sender: addressOf("payer"),
    amountBaseUnits: 10n ** 18n,
    ...rest,
  };
}

export function blockWith(block: BlockHeader, transfers: readonly Transfer[] = []): ListedTransfers {
  return { block, verification: UNVERIFIED, transfers };
}

export function assetOf(given: Partial<Asset> = {}): Asset {
  return {
    chainId: CHAIN_ID,
    token: null,
    currency: "ETH",
    decimals: 18,
    minimumBaseUnits: 1n,
    amountFrom: "event",
    policy: [{ upToBaseUnits: null, credit: atDepth(3), unlock: atDepth(5) }],
    ...given,
  };
}

/** A merchant, the test chain with its cursor at block 0, and its assets. */
export async function seedChain(
  database: Database,
  assets: readonly Asset[] = [assetOf()],
): Promise<KnownAsset[]> {
  await database.query("INSERT INTO merchants (id, name) VALUES ($1, 'Test') ON CONFLICT DO NOTHING", [
    MERCHANT_ID,
  ]);
  await registerChain(database, CHAIN_ID, "local");
  await startCursor(database, CHAIN_ID, 0n, [blockOf(0)]);
  return registerAssets(database, assets);
}
