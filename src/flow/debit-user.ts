/**
 * [tx] Takes from what a user has available, for a merchant who keeps the user's books here: the debit's row and
 * its ledger entry, or neither. What is locked cannot be spent, and nobody can spend more than there is: the
 * balance is locked between the look and the booking.
 */
import { InputError } from "../core/errors.ts";
import type { Database } from "../db/database.ts";
import { type Debit, insertDebit, type WantedDebit } from "../ledger/debit-store.ts";
import { debitEntry, type LedgerItem } from "../ledger/entry.ts";
import { bookEntries } from "../ledger/ledger-store.ts";
import { lockAvailable } from "../ledger/plan-store.ts";

/**
 * @returns `isNew: false` for a repeat, which changes nothing
 * @throws {InputError} `insufficient_balance`, and nothing was changed; `idempotency_conflict` when the key stands
 * for another debit
 */
export async function debitUser(
  database: Database,
  wanted: WantedDebit,
): Promise<{ readonly debit: Debit; readonly isNew: boolean }> {
  return database.transaction(async (tx) => {
    const written = await insertDebit(tx, wanted);
    if (!written.isNew) {
      assertSame(written.debit, wanted);
      return written;
    }
    const item = debitItem(written.debit);
    const available = await lockAvailable(tx, item);
    if (available < wanted.amountBaseUnits) {
      throw new InputError("insufficient_balance", "The user has less available than this debit takes", {
        availableBaseUnits: available,
        amountBaseUnits: wanted.amountBaseUnits,
      });
    }
    await bookEntries(tx, [debitEntry(item)]);
    return written;
  });
}

function debitItem(debit: Debit): LedgerItem {
  const { id, merchantId, userId, assetId, amountBaseUnits } = debit;
  return { reference: id, generation: 1, merchantId, userId, assetId, amountBaseUnits };
}

function assertSame(debit: Debit, wanted: WantedDebit): void {
  const isSame =
    debit.userId === wanted.userId &&
    debit.assetId === wanted.assetId &&
    debit.amountBaseUnits === wanted.amountBaseUnits &&
    debit.note === wanted.note;
  if (isSame) return;
  throw new InputError("idempotency_conflict", "This Idempotency-Key was used for another debit", {
    debitId: debit.id,
  });
}
