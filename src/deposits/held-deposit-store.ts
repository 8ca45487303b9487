/** Deposits as those who review them see them: of every merchant. */
import type { Deposit } from "../core/deposit.ts";
import type { Sql } from "../db/database.ts";
import { DEPOSIT_COLUMNS, type DepositRow, toDeposit } from "./deposit-row.ts";

/** A held deposit with what a reviewer needs beside it. */
export interface Hold {
  readonly deposit: Deposit;
  readonly cursorNumber: bigint;
  readonly merchantName: string;
  readonly heldAt: Date;
  /** What held it, a sentence each, the gravest first. */
  readonly findings: readonly string[];
}

export interface HoldFilter {
  readonly limit: number;
  /** The last hold of the page before. */
  readonly after?: { readonly detectedAt: Date; readonly id: string } | undefined;
}

interface HoldRow extends DepositRow {
  cursor_number: bigint;
  merchant_name: string;
  held_at: Date | null;
  findings: string[] | null;
}

/** Those that wait longest first. */
export async function listHolds(sql: Sql, { limit, after }: HoldFilter): Promise<Hold[]> {
  const rows = await sql.query<HoldRow>(
    `SELECT ${DEPOSIT_COLUMNS}, c.cursor_number, m.name AS merchant_name, e.created_at AS held_at, h.findings
     FROM waiting_deposits w JOIN deposits d ON d.id = w.deposit_id
     JOIN chains c ON c.chain_id = d.chain_id JOIN merchants m ON m.id = d.merchant_id
     LEFT JOIN assets a ON a.id = d.asset_id
     LEFT JOIN events e ON e.deposit_id = d.id AND e.sequence = d.sequence
     LEFT JOIN deposit_holds h ON h.deposit_id = d.id AND h.generation = d.generation
     WHERE w.status = 'held' AND (w.detected_at, w.deposit_id) > (coalesce($1, '-infinity'::timestamptz), $2)
     ORDER BY w.detected_at, w.deposit_id LIMIT $3`,
    [after?.detectedAt ?? null, after?.id ?? "", limit],
  );
  return rows.map((row) => ({
    deposit: toDeposit(row),
    cursorNumber: row.cursor_number,
    merchantName: row.merchant_name,
    heldAt: row.held_at ?? row.detected_at,
    findings: row.findings ?? [],
  }));
}

/** Which chain a deposit is on: part of its identity, so it never changes. */
export async function findDepositChain(sql: Sql, depositId: string): Promise<number | undefined> {
  const [row] = await sql.query<{ chain_id: bigint }>("SELECT chain_id FROM deposits WHERE id = $1", [
    depositId,
  ]);
  return row === undefined ? undefined : Number(row.chain_id);
}

/** One deposit, locked until the transaction ends. Hold the chain's cursor before. */
export async function lockDeposit(tx: Sql, depositId: string): Promise<Deposit | undefined> {
  const rows = await tx.query<DepositRow>(
    `SELECT ${DEPOSIT_COLUMNS} FROM deposits d LEFT JOIN assets a ON a.id = d.asset_id
     WHERE d.id = $1 FOR UPDATE OF d`,
    [depositId],
  );
  return rows.map(toDeposit)[0];
}
