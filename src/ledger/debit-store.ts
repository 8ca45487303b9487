/** Debits: what a merchant took from what a user has available. One for each key of the merchant's, for good. */
import { createHash } from "node:crypto";
import type { Sql } from "../db/database.ts";

export interface Debit {
  readonly id: string;
  readonly merchantId: string;
  readonly userId: string;
  readonly assetId: number;
  readonly amountBaseUnits: bigint;
  /** The merchant's own name for it: the same key never debits twice. */
  readonly key: string;
  readonly note: string | null;
  readonly createdAt: Date;
}

export type WantedDebit = Omit<Debit, "id" | "createdAt">;

interface DebitRow {
  id: string;
  user_id: string;
  asset_id: number;
  amount: string;
  note: string | null;
  created_at: Date;
}

/** Derived from merchant and key, so that a restored backup makes the same ids again. */
function debitId(merchantId: string, key: string): string {
  return `deb_${createHash("sha256").update(`${merchantId}\n${key}`).digest("hex").slice(0, 32)}`;
}

/**
 * Writes the debit's row; the second of two at once waits for the first.
 *
 * @returns `isNew: false` with the row that stands under this key already
 */
export async function insertDebit(
  tx: Sql,
  wanted: WantedDebit,
): Promise<{ readonly debit: Debit; readonly isNew: boolean }> {
  const inserted = await tx.query<DebitRow>(
    `INSERT INTO debits (id, merchant_id, user_id, asset_id, amount, key, note) VALUES ($1, $2, $3, $4, $5, $6, $7)
     ON CONFLICT DO NOTHING RETURNING id, user_id, asset_id, amount, note, created_at`,
    [
      debitId(wanted.merchantId, wanted.key),
      wanted.merchantId,
      wanted.userId,
      wanted.assetId,
      wanted.amountBaseUnits.toString(),
      wanted.key,
      wanted.note,
    ],
  );
  const [row] =
    inserted.length > 0
      ? inserted
      : await tx.query<DebitRow>(
          "SELECT id, user_id, asset_id, amount, note, created_at FROM debits WHERE merchant_id = $1 AND key = $2",
          [wanted.merchantId, wanted.key],
        );
  if (row === undefined) throw new Error("A debit was neither inserted nor found");
  return { debit: toDebit(row, wanted), isNew: inserted.length > 0 };
}

function toDebit(row: DebitRow, { merchantId, key }: WantedDebit): Debit {
  return {
    id: row.id,
    merchantId,
    userId: row.user_id,
    assetId: row.asset_id,
    amountBaseUnits: BigInt(row.amount),
    key,
    note: row.note,
    createdAt: row.created_at,
  };
}
