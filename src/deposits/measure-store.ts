/**
 * Deposits whose amount is what their address's balance grew by, from their block until that is measured. Each says
 * itself when it is to be tried next, by the database's clock.
 */
import type { KnownAsset } from "../core/asset.ts";
import type { Deposit, IgnoreReason } from "../core/deposit.ts";
import type { Sql } from "../db/database.ts";
import { DEPOSIT_COLUMNS, type DepositRow, toDeposit } from "./deposit-row.ts";
import type { StoredThreshold } from "./judge-transfer.ts";

/** Whoever claimed them and is gone by then leaves them to another. */
const CLAIM_SECONDS = 60;
/** Tried again after half of the time that it waits already, within these. */
const RETRY_SECONDS = { least: 1, most: 60 };

/** Takes what is to be measured now; those that waited longest first, so that none holds up the others. */
export async function claimUnmeasured(sql: Sql, chainId: number, limit: number): Promise<Deposit[]> {
  const rows = await sql.query<DepositRow>(
    `WITH claimed AS (
       UPDATE deposits d SET measure_at = now() + $3::integer * interval '1 second'
       FROM (
         SELECT id FROM deposits WHERE chain_id = $1 AND status = 'pending' AND measure_at <= now()
         ORDER BY measure_at LIMIT $2 FOR UPDATE SKIP LOCKED
       ) due
       WHERE d.id = due.id
       RETURNING d.*
     )
     SELECT ${DEPOSIT_COLUMNS} FROM claimed d LEFT JOIN assets a ON a.id = d.asset_id ORDER BY d.block_number, d.id`,
    [chainId, limit, CLAIM_SECONDS],
  );
  return rows.map(toDeposit);
}

/** How many deposits of each chain wait to be measured. */
export async function countUnmeasured(sql: Sql): Promise<{ chainId: number; count: number }[]> {
  const rows = await sql.query<{ chain_id: bigint; count: bigint }>(
    `SELECT chain_id, count(*) AS count FROM deposits
     WHERE status = 'pending' AND measure_at IS NOT NULL GROUP BY chain_id`,
  );
  return rows.map((row) => ({ chainId: Number(row.chain_id), count: Number(row.count) }));
}

export async function isAnyUnmeasured(sql: Sql, chainId: number): Promise<boolean> {
  const rows = await sql.query(
    "SELECT 1 FROM deposits WHERE chain_id = $1 AND status = 'pending' AND measure_at IS NOT NULL LIMIT 1",
    [chainId],
  );
  return rows.length > 0;
}

/** It could not be measured: it waits, says why, and is tried again. */
export async function postponeMeasuring(
  sql: Sql,
  deposits: readonly Deposit[],
  problem: string,
): Promise<void> {
  if (deposits.length === 0) return;
  await sql.query(
    `UPDATE deposits d SET measure_problem = $3, measure_at = now() + least(greatest(
         (now() - d.detected_at) / 2, $4::integer * interval '1 second'), $5::integer * interval '1 second')
     FROM unnest($1::text[], $2::integer[]) AS t(id, sequence)
     WHERE d.id = t.id AND d.sequence = t.sequence AND d.status = 'pending' AND d.measure_at IS NOT NULL`,
    [
      deposits.map(({ id }) => id),
      deposits.map(({ sequence }) => sequence),
      problem,
      RETRY_SECONDS.least,
      RETRY_SECONDS.most,
    ],
  );
}

/** What was found out about a deposit. */
export interface Measured {
  readonly deposit: Deposit;
  readonly amountBaseUnits: bigint;
  /** How many nodes told it; `null`: the event's amount counts after all, as the config says now. */
  readonly nodes: number | null;
  /** Why too little has arrived to count; `null`: it counts. */
  readonly ignored: IgnoreReason | null;
  readonly credit: StoredThreshold | null;
  readonly unlock: StoredThreshold | null;
}

/**
 * Gives deposits their amount, and makes them due like any other. One that has moved since it was read is left alone.
 *
 * @returns as they are afterwards, those whose amount or status is another than was told of them before
 */
export async function recordMeasured(tx: Sql, measured: readonly Measured[]): Promise<Deposit[]> {
  if (measured.length === 0) return [];
  const column = (read: (each: Measured) => unknown) => measured.map(read);
  const rows = await tx.query<DepositRow & { is_news: boolean }>(
    `WITH written AS (
       UPDATE deposits d SET amount = m.amount, balance_nodes = m.nodes, measure_at = NULL, measure_problem = NULL,
         event_amount = CASE WHEN m.nodes IS NOT NULL THEN d.event_amount END,
         status = CASE WHEN m.ignored IS NULL THEN 'pending' ELSE 'ignored' END, reason = m.ignored,
         credit_at = m.credit_at, credit_block = m.credit_block, credit_tag = m.credit_tag,
         unlock_at = m.unlock_at, unlock_block = m.unlock_block, unlock_tag = m.unlock_tag,
         sequence = d.sequence + CASE WHEN m.ignored IS NULL AND m.amount = m.told THEN 0 ELSE 1 END
       FROM unnest($1::text[], $2::integer[], $3::numeric[], $4::numeric[], $5::smallint[], $6::text[], $7::text[],
           $8::bigint[], $9::text[], $10::text[], $11::bigint[], $12::text[])
         AS m(id, sequence, told, amount, nodes, ignored, credit_at, credit_block, credit_tag, unlock_at,
           unlock_block, unlock_tag)
       WHERE d.id = m.id AND d.sequence = m.sequence AND d.status = 'pending' AND d.measure_at IS NOT NULL
       RETURNING d.*, d.sequence > m.sequence AS is_news
     )
     SELECT ${DEPOSIT_COLUMNS}, d.is_news FROM written d LEFT JOIN assets a ON a.id = d.asset_id
     ORDER BY d.block_number, d.id`,
    [
      column(({ deposit }) => deposit.id),
      column(({ deposit }) => deposit.sequence),
      column(({ deposit }) => deposit.amountBaseUnits.toString()),
      column(({ amountBaseUnits }) => amountBaseUnits.toString()),
      column(({ nodes }) => nodes),
      column(({ ignored }) => ignored),
      column(({ credit }) => credit?.text ?? null),
      column(({ credit }) => credit?.dueBlock ?? null),
      column(({ credit }) => credit?.tag ?? null),
      column(({ unlock }) => unlock?.text ?? null),
      column(({ unlock }) => unlock?.dueBlock ?? null),
      column(({ unlock }) => unlock?.tag ?? null),
    ],
  );
  return rows.filter((row) => row.is_news).map(toDeposit);
}

/** Of deposits `d`: pending ones that count by something else than their asset ($2) does now. */
const COUNTED_OTHERWISE = {
  balance: `d.asset_id = $2 AND d.status = 'pending' AND d.event_amount IS NULL
    AND d.id IN (SELECT deposit_id FROM waiting_deposits WHERE chain_id = $1 AND status = 'pending')`,
  event: `d.chain_id = $1 AND d.asset_id = $2 AND d.status = 'pending' AND d.measure_at IS NOT NULL`,
} as const;

type AmountAsset = Pick<KnownAsset, "id" | "chainId" | "amountFrom">;

/**
 * Brings pending deposits in line with what counts of their asset now: one that was seen when the event's amount
 * counted is to be measured; one that waits to be measured is looked at at once, and given the event's amount.
 */
export async function applyAmountSource(sql: Sql, asset: AmountAsset): Promise<void> {
  const changed =
    asset.amountFrom === "balance"
      ? "event_amount = amount, measure_at = now(), credit_block = NULL, credit_tag = NULL"
      : "measure_at = least(measure_at, now())";
  await sql.query(`UPDATE deposits d SET ${changed} WHERE ${COUNTED_OTHERWISE[asset.amountFrom]}`, [
    asset.chainId,
    asset.id,
  ]);
}

/** How many deposits `applyAmountSource` would change. */
export async function countAmountSourceChanges(sql: Sql, asset: AmountAsset): Promise<number> {
  const [row] = await sql.query<{ count: number }>(
    `SELECT count(*)::integer AS count FROM deposits d WHERE ${COUNTED_OTHERWISE[asset.amountFrom]}`,
    [asset.chainId, asset.id],
  );
  return row?.count ?? 0;
}
