/** What a config would do to the deposits in flight, told before it is in force. */
import type { AmountSource, KnownAsset } from "../core/asset.ts";
import { coerceError } from "../core/errors.ts";
import type { Sql } from "../db/database.ts";
import { hasEmbeddedPostgres } from "../db/embedded-postgres.ts";
import { findAsset } from "../deposits/asset-store.ts";
import { countAmountSourceChanges } from "../deposits/measure-store.ts";
import { type PolicyChange, previewPolicy } from "../flow/apply-policy.ts";
import type { ChainConfig } from "../runtime/config/config.ts";
import type { Setup } from "./setup.ts";
import { withDatabase } from "./with-database.ts";

export interface PolicyPreview {
  readonly changes: readonly PolicyChange[];
  /** Of tokens whose `amountFrom` is another than when their deposits were seen. */
  readonly amounts: readonly AmountChange[];
  /** Why nothing could be looked at; `null` when it could. */
  readonly problem: string | null;
}

/** Deposits of one token that would count by something else. */
export interface AmountChange {
  readonly chainId: number;
  readonly currency: string;
  readonly to: AmountSource;
  readonly depositCount: number;
}

const NO_CHANGES = { changes: [], amounts: [] };

/** Changes nothing: neither deposits nor the schema, and it makes no database where there is none. */
export async function previewPolicies(setup: Setup): Promise<PolicyPreview> {
  const { config } = setup;
  if (config.database.url === null && !(await hasEmbeddedPostgres(config.dataDir))) {
    return { ...NO_CHANGES, problem: "There is no database yet" };
  }
  const readOnly = { ...setup, config: { ...config, database: { ...config.database, migrate: false } } };
  try {
    const perChain = await withDatabase(readOnly, (database) =>
      Promise.all(
        config.chains.map(async (chain) => {
          const assets = await knownAssets(database, chain);
          const changes = await previewPolicy(database, chain.id, assets);
          return { changes, amounts: await previewAmounts(database, assets) };
        }),
      ),
    );
    const changes = perChain.flatMap((chain) => chain.changes);
    return { changes, amounts: perChain.flatMap((chain) => chain.amounts), problem: null };
  } catch (rawError) {
    return { ...NO_CHANGES, problem: coerceError(rawError).message };
  }
}

async function previewAmounts(sql: Sql, assets: readonly KnownAsset[]): Promise<AmountChange[]> {
  const amounts: AmountChange[] = [];
  for (const asset of assets) {
    const depositCount = await countAmountSourceChanges(sql, asset);
    const { chainId, currency, amountFrom: to } = asset;
    if (depositCount > 0) amounts.push({ chainId, currency, to, depositCount });
  }
  return amounts;
}

/** Of an asset that has no row there are no deposits. */
export async function knownAssets(sql: Sql, chain: ChainConfig): Promise<KnownAsset[]> {
  const known: KnownAsset[] = [];
  for (const asset of chain.assets) {
    const row = await findAsset(sql, chain.id, asset.token);
    if (row !== undefined) known.push({ ...asset, id: row.id });
  }
  return known;
}

export function previewText({ changes, amounts, problem }: PolicyPreview): string {
  if (problem !== null) return `Deposits in flight were not looked at: ${problem}.`;
  if (changes.length === 0 && amounts.length === 0)
    return "No deposit in flight would wait for anything else.";
  return [...changes.map(changeText), ...totalTexts(changes), ...amounts.map(amountText)].join("\n");
}

const COUNTED = {
  balance: "counted by what the balance grew by, not by the event",
  event: "counted by the event, not by a balance",
} as const;

function amountText({ chainId, currency, to, depositCount }: AmountChange): string {
  const deposits = `${depositCount} pending ${depositCount === 1 ? "deposit" : "deposits"}`;
  return `Chain ${chainId}, ${currency}: ${deposits} would be ${COUNTED[to]}.`;
}

const WAITING = { credit: "pending", unlock: "pending or credited" } as const;
const MOVED = { credit: "credited", unlock: "unlocked" } as const;

function changeText(change: PolicyChange): string {
  const { chainId, currency, stage, from, to, depositCount } = change;
  const deposits = `${depositCount} ${WAITING[stage]} ${depositCount === 1 ? "deposit" : "deposits"}`;
  return `Chain ${chainId}, ${currency}: ${deposits} would be ${MOVED[stage]} at ${to} in place of ${from ?? "never"}.`;
}

function totalTexts(changes: readonly PolicyChange[]): string[] {
  return (["credit", "unlock"] as const).flatMap((stage) => {
    const count = changes
      .filter((change) => change.stage === stage)
      .reduce((sum, change) => sum + change.dueAtOnceCount, 0);
    if (count === 0) return [];
    const status = stage === "credit" ? "pending" : "credited";
    return [`${count} ${status} ${count === 1 ? "deposit" : "deposits"} would be ${MOVED[stage]} at once.`];
  });
}
