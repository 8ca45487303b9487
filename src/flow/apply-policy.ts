/**
 * [tx per page] Applies the configured confirmation policy to the deposits that still wait. What has been credited
 * stays credited, what has been unlocked stays unlocked: a policy is only ever asked for what has not happened yet.
 */
import { bandFor, dueBlock, isMet, type ReachedBlocks, thresholdText } from "../confirmations/threshold.ts";
import type { KnownAsset } from "../core/asset.ts";
import { type Deposit, isUnmeasured } from "../core/deposit.ts";
import type { Database, Sql } from "../db/database.ts";
import {
  changeThresholds,
  listWaitingDeposits,
  SETTLE_STAGES,
  type SettleStage,
  type ThresholdChange,
} from "../deposits/deposit-store.ts";
import { findChainState } from "../scanner/chain-store.ts";

/** Deposits of one asset that wait for something else under the new policy. */
export interface PolicyChange {
  readonly chainId: number;
  readonly currency: string;
  readonly stage: SettleStage;
  readonly from: string | null;
  readonly to: string;
  readonly depositCount: number;
  /** Of them: those whose new threshold is met already, while the old one was not. */
  readonly dueAtOnceCount: number;
}

/** Changes what deposits wait for, and says what changed. */
export function applyPolicy(
  database: Database,
  chainId: number,
  assets: readonly KnownAsset[],
): Promise<PolicyChange[]> {
  return walkWaiting(database, chainId, assets, (stage, changes) =>
    changeThresholds(database, stage, changes),
  );
}

/** Says what `applyPolicy` would change, and changes nothing. */
export function previewPolicy(
  sql: Sql,
  chainId: number,
  assets: readonly KnownAsset[],
): Promise<PolicyChange[]> {
  return walkWaiting(sql, chainId, assets, async () => undefined);
}

/** Whether some of the changes leave deposits that settling would find. */
export function isAnythingDue(changes: readonly PolicyChange[]): boolean {
  return changes.some((change) => change.dueAtOnceCount > 0);
}

const DEPOSITS_PER_QUERY = 5_000;

type OnChanges = (stage: SettleStage, changes: readonly ThresholdChange[]) => Promise<void>;

async function walkWaiting(
  sql: Sql,
  chainId: number,
  assets: readonly KnownAsset[],
  onChanges: OnChanges,
): Promise<PolicyChange[]> {
  const state = await findChainState(sql, chainId);
  if (state?.cursorNumber === null || state === undefined) return [];
  const reached = { ...state, cursorNumber: state.cursorNumber };
  const byId = new Map(assets.map((asset) => [asset.id, asset]));
  const summary = new Map<string, PolicyChange>();
  for (const stage of SETTLE_STAGES) {
    for (let after = ""; ; ) {
      const page = await listWaitingDeposits(sql, chainId, stage, after, DEPOSITS_PER_QUERY);
      const changes = page.flatMap((deposit) => thresholdChange(deposit, stage, byId, reached));
      await onChanges(stage, changes);
      for (const change of changes) count(summary, stage, change);
      const last = page.at(-1);
      if (last === undefined || page.length < DEPOSITS_PER_QUERY) break;
      after = last.id;
    }
  }
  return [...summary.values()];
}

interface JudgedChange extends ThresholdChange {
  readonly deposit: Deposit;
  readonly from: string | null;
  readonly isDueAtOnce: boolean;
}

/** An asset that is no longer configured keeps the policy it was seen under: its deposits are there all the same. */
function thresholdChange(
  deposit: Deposit,
  stage: SettleStage,
  assets: ReadonlyMap<number, KnownAsset>,
  reached: ReachedBlocks,
): JudgedChange[] {
  const asset = deposit.assetId === null ? undefined : assets.get(deposit.assetId);
  if (asset === undefined) return [];
  const threshold = bandFor(asset, deposit.amountBaseUnits)[stage];
  const text = thresholdText(threshold);
  const from = stage === "credit" ? deposit.creditAt : deposit.unlockAt;
  if (text === from) return [];
  const isNext = deposit.status === (stage === "credit" ? "pending" : "credited");
  return [
    {
      deposit,
      from,
      depositId: deposit.id,
      sequence: deposit.sequence,
      threshold: { text, dueBlock: dueBlock(threshold, deposit.blockNumber), tag: threshold.tag },
      isDueAtOnce: isNext && !isUnmeasured(deposit) && isMet(threshold, deposit.blockNumber, reached),
    },
  ];
}

function count(summary: Map<string, PolicyChange>, stage: SettleStage, change: JudgedChange): void {
  const { deposit, from, threshold } = change;
  const key = JSON.stringify([deposit.assetId, stage, from, threshold.text]);
  const so = summary.get(key);
  summary.set(key, {
    chainId: deposit.chainId,
    currency: deposit.currency ?? "",
    stage,
    from,
    to: threshold.text,
    depositCount: (so?.depositCount ?? 0) + 1,
    dueAtOnceCount: (so?.dueAtOnceCount ?? 0) + (change.isDueAtOnce ? 1 : 0),
  });
}
