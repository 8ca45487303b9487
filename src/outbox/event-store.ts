/**
 * The outbox: events and their deliveries, written in the transaction of the change they tell of. What is
 * committed here will be told; what is rolled back never was.
 */
import type { EventType } from "../core/event.ts";
import { bytesToHex, type Hash, hexToBytes } from "../core/hex.ts";
import type { Sql } from "../db/database.ts";

/** A status change of a deposit, as it will be told. */
export interface DepositEvent {
  readonly merchantId: string;
  readonly type: EventType;
  readonly depositId: string;
  readonly sequence: number;
  readonly blockNumber: bigint;
  readonly blockHash: Hash;
  /** The exact text that every delivery sends. */
  readonly body: string;
}

/** A status change of a seen payment, as it will be told. */
export interface SeenEvent {
  readonly merchantId: string;
  readonly type: EventType;
  readonly seenId: string;
  readonly sequence: number;
  /** The exact text that every delivery sends. */
  readonly body: string;
}

/** A change of an order, as it will be told. */
export interface OrderEvent {
  readonly merchantId: string;
  readonly type: EventType;
  readonly orderId: string;
  readonly sequence: number;
  /** The exact text that every delivery sends. */
  readonly body: string;
}

export type OutboxEvent = DepositEvent | SeenEvent | OrderEvent;

/**
 * Writes events, and one delivery for each endpoint that wants their type now. A disabled endpoint's deliveries
 * are written too: they wait until it is enabled again.
 *
 * @returns how many deliveries there are to make.
 */
export async function appendEvents(tx: Sql, events: readonly OutboxEvent[]): Promise<number> {
  if (events.length === 0) return 0;
  const [row] = await tx.query<{ deliveries: bigint }>(
    `WITH written AS (
       INSERT INTO events (merchant_id, type, deposit_id, seen_id, order_id, sequence, block_number, block_hash, body)
       SELECT merchant_id, type, deposit_id, seen_id, order_id, sequence, block_number, block_hash, body
       FROM ROWS FROM (
         unnest($1::text[], $2::text[], $3::text[], $4::integer[], $5::bigint[], $6::bytea[], $8::text[], $9::text[]),
         string_to_table($7, E'\n')
       ) WITH ORDINALITY
         AS e(merchant_id, type, deposit_id, sequence, block_number, block_hash, seen_id, order_id, body, position)
       ORDER BY position
       RETURNING id, merchant_id, type
     ), fanned_out AS (
       INSERT INTO deliveries (event_id, endpoint_id, first_attempt_at)
       SELECT w.id, p.id, now() + p.first_delay_ms * interval '1 millisecond' FROM written w
       JOIN endpoints p ON p.merchant_id = w.merchant_id AND p.deleted_at IS NULL AND w.type = ANY (p.events)
       ORDER BY w.id
       RETURNING 1
     )
     SELECT count(*) AS deliveries FROM fanned_out`,
    [
      events.map((event) => event.merchantId),
      events.map((event) => event.type),
      events.map((event) => ("depositId" in event ? event.depositId : null)),
      events.map((event) => event.sequence),
      events.map((event) => ("depositId" in event ? event.blockNumber : null)),
      events.map((event) => ("depositId" in event ? hexToBytes(event.blockHash) : null)),
      joinBodies(events),
      subjects(events, (event) => ("seenId" in event ? event.seenId : null)),
      subjects(events, (event) => ("orderId" in event ? event.orderId : null)),
    ],
  );
  return Number(row?.deliveries ?? 0n);
}

/** Most events speak of deposits: an array that is too short is filled up with NULL by `unnest`. */
function subjects(
  events: readonly OutboxEvent[],
  read: (event: OutboxEvent) => string | null,
): (string | null)[] {
  const ids = events.map(read);
  return ids.some((each) => each !== null) ? ids : [];
}

/**
 * One text for all bodies, a line for each. In an array each quotation mark of each body would be escaped here and
 * read back there, which costs more than making the body. JSON holds no line break.
 */
function joinBodies(events: readonly { readonly body: string }[]): string {
  return events.map((event) => event.body).join("\n");
}

/** One move of a deposit. */
export interface DepositHistoryItem {
  readonly sequence: number;
  readonly type: string;
  readonly blockNumber: bigint;
  readonly blockHash: Hash;
  readonly at: Date;
}

/** Every status a deposit ever had, oldest first. */
export async function listDepositHistory(sql: Sql, depositId: string): Promise<DepositHistoryItem[]> {
  const rows = await sql.query<{
    sequence: number;
    type: string;
    block_number: bigint;
    block_hash: Buffer;
    created_at: Date;
  }>(
    `SELECT sequence, type, block_number, block_hash, created_at FROM events
     WHERE deposit_id = $1 ORDER BY sequence`,
    [depositId],
  );
  return rows.map((row) => ({
    sequence: row.sequence,
    type: row.type,
    blockNumber: row.block_number,
    blockHash: bytesToHex(row.block_hash),
    at: row.created_at,
  }));
}
