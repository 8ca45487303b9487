/** The event that tells of a deposit's new status. */
import type { Deposit } from "../core/deposit.ts";
import { type DepositBody, depositBody } from "../core/deposit-body.ts";
import { depositEventType, type EventBody } from "../core/event.ts";
import type { DepositEvent } from "./event-store.ts";

/**
 * @param deposit as it is after the move
 * @param cursorNumber the chain's cursor in the same transaction
 * @param at the transaction's time
 */
export function depositEvent(deposit: Deposit, cursorNumber: bigint, at: Date): DepositEvent {
  const type = depositEventType(deposit.status);
  const body: EventBody<DepositBody> = {
    type,
    timestamp: at.toISOString(),
    data: depositBody(deposit, cursorNumber),
  };
  return {
    merchantId: deposit.merchantId,
    type,
    depositId: deposit.id,
    sequence: deposit.sequence,
    blockNumber: deposit.blockNumber,
    blockHash: deposit.blockHash,
    body: JSON.stringify(body),
  };
}
