/**
 * [tx] Writes what happened to seen payments, with the events that tell of it. It moves no money and is not fenced:
 * a change that was made already changes nothing and is not told again.
 */
import type { SeenPayment } from "../core/seen-payment.ts";
import type { Database, Sql } from "../db/database.ts";
import type { JudgedPending } from "../deposits/judge-pending.ts";
import { insertSeenPayments, moveSeenPayments, type SeenMove } from "../deposits/seen-payment-store.ts";
import { appendEvents } from "../outbox/event-store.ts";
import { seenEvent } from "../outbox/seen-event.ts";

export interface RecordedSeenPayments {
  readonly changed: readonly SeenPayment[];
  readonly deliveryCount: number;
}

const NOTHING: RecordedSeenPayments = { changed: [], deliveryCount: 0 };

export async function recordPending(
  database: Database,
  chainId: number,
  judged: readonly JudgedPending[],
): Promise<RecordedSeenPayments> {
  if (judged.length === 0) return NOTHING;
  return database.transaction(async (tx) => tell(tx, await insertSeenPayments(tx, chainId, judged)));
}

export async function recordMoves(
  database: Database,
  moves: readonly SeenMove[],
): Promise<RecordedSeenPayments> {
  if (moves.length === 0) return NOTHING;
  return database.transaction(async (tx) => tell(tx, await moveSeenPayments(tx, moves)));
}

async function tell(tx: Sql, changed: readonly SeenPayment[]): Promise<RecordedSeenPayments> {
  return { changed, deliveryCount: await appendEvents(tx, changed.map(seenEvent)) };
}
