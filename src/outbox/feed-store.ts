/**
 * The feed: a merchant's events in an order that never changes behind a reader, and with nothing left out.
 *
 * Neither ids nor times are such an order: a transaction that began earlier may commit later, behind a reader who
 * has gone on. So events are read in the order of the transactions that wrote them, and only those of transactions
 * that are older than every one still running: whatever may yet be committed comes after them.
 *
 * Hence an event is seen a moment after its commit: when every write transaction that was older than its own, in
 * this PostgreSQL server, has ended.
 */
import type { Sql } from "../db/database.ts";

/** Where a reader is: behind this event. */
export interface FeedPlace {
  /** The transaction that wrote it. */
  readonly xid: string;
  readonly id: string;
}

export interface FeedItem extends FeedPlace {
  readonly type: string;
  /** The exact text that callbacks of it carry. */
  readonly body: string;
}

/** @param after `undefined`: from the first one on */
export async function readFeed(
  sql: Sql,
  merchantId: string,
  after: FeedPlace | undefined,
  limit: number,
): Promise<FeedItem[]> {
  return sql.query<FeedItem>(
    `SELECT e.xid::text, e.id, e.type, e.body FROM events e
     WHERE e.merchant_id = $1 AND (e.xid, e.id) > ($2::xid8, $3::uuid)
       AND e.xid < pg_snapshot_xmin(pg_current_snapshot())
     ORDER BY e.xid, e.id LIMIT $4`,
    [merchantId, after?.xid ?? "0", after?.id ?? "00000000-0000-0000-0000-000000000000", limit],
  );
}

/** The end of the feed as it is now, for those who want only what comes; `undefined` when it is empty. */
export async function findFeedEnd(sql: Sql, merchantId: string): Promise<FeedPlace | undefined> {
  const [row] = await sql.query<FeedPlace>(
    `SELECT e.xid::text, e.id FROM events e
     WHERE e.merchant_id = $1 AND e.xid < pg_snapshot_xmin(pg_current_snapshot())
     ORDER BY e.xid DESC, e.id DESC LIMIT 1`,
    [merchantId],
  );
  return row;
}
