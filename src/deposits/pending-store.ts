/** Deposits that are still pending in the inclusion that somebody read. */
import type { Deposit } from "../core/deposit.ts";
import type { Sql } from "../db/database.ts";
import { DEPOSIT_COLUMNS, type DepositRow, toDeposit } from "./deposit-row.ts";

/** Those that moved on, or were included anew, are left out. */
export async function listStillPending(
  sql: Sql,
  keys: readonly { readonly depositId: string; readonly generation: number }[],
): Promise<Deposit[]> {
  if (keys.length === 0) return [];
  const rows = await sql.query<DepositRow>(
    `SELECT ${DEPOSIT_COLUMNS} FROM unnest($1::text[], $2::integer[]) AS k(id, generation)
     JOIN deposits d ON d.id = k.id AND d.generation = k.generation AND d.status = 'pending'
     LEFT JOIN assets a ON a.id = d.asset_id`,
    [keys.map(({ depositId }) => depositId), keys.map(({ generation }) => generation)],
  );
  return rows.map(toDeposit);
}
