/** The assets that deposits and ledger accounts refer to. The config says which are listed; rows stay for ever. */
import type { Asset, KnownAsset } from "../core/asset.ts";
import { FatalError } from "../core/errors.ts";
import { type Address, hexToBytes } from "../core/hex.ts";
import type { Sql } from "../db/database.ts";

/**
 * Gives each configured asset its row.
 *
 * @throws {FatalError} `asset_changed` when the config gives an asset other decimals or another currency than
 * its balances were booked in: every amount in the ledger would change its meaning. What was wrong before anything came
 * in (the chain was not followed, as the contract says otherwise) may be put right.
 */
export async function registerAssets(sql: Sql, assets: readonly Asset[]): Promise<KnownAsset[]> {
  const known: KnownAsset[] = [];
  for (const asset of assets) known.push({ ...asset, id: await registerAsset(sql, asset) });
  return known;
}

async function registerAsset(sql: Sql, asset: Asset): Promise<number> {
  const key = [asset.chainId, asset.token === null ? null : hexToBytes(asset.token)];
  await sql.query(
    `INSERT INTO assets (chain_id, token, currency, decimals) VALUES ($1, $2, $3, $4)
     ON CONFLICT (chain_id, token) DO NOTHING`,
    [...key, asset.currency, asset.decimals],
  );
  const find = () =>
    sql.query<{ id: number; currency: string; decimals: number }>(
      "SELECT id, currency, decimals FROM assets WHERE chain_id = $1 AND token IS NOT DISTINCT FROM $2",
      key,
    );
  let [row] = await find();
  if (row !== undefined && (row.decimals !== asset.decimals || row.currency !== asset.currency)) {
    await putRight(sql, row.id, asset);
    [row] = await find();
  }
  if (row === undefined || row.decimals !== asset.decimals || row.currency !== asset.currency) {
    throw new FatalError(
      "asset_changed",
      `${asset.currency} on chain ${asset.chainId} is already in the ledger as ${row?.currency} with ${row?.decimals} decimals; ` +
        `the config says ${asset.currency} with ${asset.decimals}`,
      { chainId: asset.chainId, token: asset.token },
    );
  }
  return row.id;
}

/** As long as no amount of it was ever written down. */
async function putRight(sql: Sql, id: number, { currency, decimals }: Asset): Promise<void> {
  const uses = ["deposits", "seen_payments", "ledger_accounts", "orders"].map(
    (table) => `NOT EXISTS (SELECT FROM ${table} WHERE asset_id = $1)`,
  );
  await sql.query(`UPDATE assets SET currency = $2, decimals = $3 WHERE id = $1 AND ${uses.join(" AND ")}`, [
    id,
    currency,
    decimals,
  ]);
}

/** An asset that was ever listed, with what its amounts mean. */
export interface AssetRow {
  readonly id: number;
  readonly chainId: number;
  readonly token: Address | null;
  readonly currency: string;
  readonly decimals: number;
}

/** @param token `null` for the native coin */
export async function findAsset(
  sql: Sql,
  chainId: number,
  token: Address | null,
): Promise<AssetRow | undefined> {
  const [row] = await sql.query<{ id: number; currency: string; decimals: number }>(
    "SELECT id, currency, decimals FROM assets WHERE chain_id = $1 AND token IS NOT DISTINCT FROM $2",
    [chainId, token === null ? null : hexToBytes(token)],
  );
  return row === undefined ? undefined : { ...row, chainId, token };
}
