/** What the ledger needs to know of a deposit. */
import type { Deposit } from "../core/deposit.ts";
import { FatalError } from "../core/errors.ts";
import type { LedgerItem } from "../ledger/entry.ts";

/** @throws {FatalError} `ledger_refused` for a deposit of an unlisted token, which can never be booked. */
export function ledgerItem(deposit: Deposit): LedgerItem {
  if (deposit.assetId === null) {
    throw new FatalError("ledger_refused", "A deposit of an unlisted token cannot be booked", {
      depositId: deposit.id,
    });
  }
  return {
    reference: deposit.id,
    generation: deposit.generation,
    merchantId: deposit.merchantId,
    userId: deposit.userId,
    assetId: deposit.assetId,
    amountBaseUnits: deposit.amountBaseUnits,
  };
}
