/**
 * Applies the configured confirmation policy to the deposits that still wait. What has been credited stays
 * credited, what has been unlocked stays unlocked.
 */
import { bandFor, dueBlock, thresholdText } from "../confirmations/threshold.ts";
import type { KnownAsset } from "../core/asset.ts";
import type { Deposit } from "../core/deposit.ts";
import type { Database } from "../db/database.ts";
import {
  changeThresholds,
  listWaitingDeposits,
  type SettleStage,
  type ThresholdChange,
} from "../deposits/deposit-store.ts";

const DEPOSITS_PER_QUERY = 5_000;

/** @returns how many deposits wait for something else now. */
export async function applyPolicy(
  database: Database,
  chainId: number,
  assets: readonly KnownAsset[],
): Promise<number> {
  const byId = new Map(assets.map((asset) => [asset.id, asset]));
  return (
    (await applyToStage(database, chainId, "credit", byId)) +
    (await applyToStage(database, chainId, "unlock", byId))
  );
}

async function applyToStage(
  database: Database,
  chainId: number,
  stage: SettleStage,
  assets: ReadonlyMap<number, KnownAsset>,
): Promise<number> {
  let changed = 0;
  for (let after = ""; ; ) {
    const page = await listWaitingDeposits(database, chainId, stage, after, DEPOSITS_PER_QUERY);
    const changes = page.flatMap((deposit) => thresholdChange(deposit, stage, assets));
    await changeThresholds(database, stage, changes);
    changed += changes.length;
    const last = page.at(-1);
    if (last === undefined || page.length < DEPOSITS_PER_QUERY) return changed;
    after = last.id;
  }
}

/** An asset that is no longer configured keeps the policy it was seen under: its deposits are there all the same. */
function thresholdChange(
  deposit: Deposit,
  stage: SettleStage,
  assets: ReadonlyMap<number, KnownAsset>,
): ThresholdChange[] {
  const asset = deposit.assetId === null ? undefined : assets.get(deposit.assetId);
  if (asset === undefined) return [];
  const threshold = bandFor(asset, deposit.amountBaseUnits)[stage];
  const text = thresholdText(threshold);
  const inForce = stage === "credit" ? deposit.creditAt : deposit.unlockAt;
  if (text === inForce) return [];
  return [
    {
      depositId: deposit.id,
      threshold: { text, dueBlock: dueBlock(threshold, deposit.blockNumber), tag: threshold.tag },
    },
  ];
}
