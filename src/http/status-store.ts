/** What `/metrics`, `status` and `doctor` ask the database. Counts of what is live; none of them grows with history. */
import type { Sql } from "../db/database.ts";

export interface DepositsInFlight {
  readonly chainId: number;
  readonly status: string;
  readonly count: number;
  readonly oldestDetectedAt: Date;
}

/** Deposits that still have a way to go. */
export async function countDepositsInFlight(sql: Sql): Promise<DepositsInFlight[]> {
  const rows = await sql.query<{ chain_id: bigint; status: string; count: bigint; oldest: Date }>(
    `SELECT chain_id, status, count(*) AS count, min(detected_at) AS oldest FROM waiting_deposits
     GROUP BY chain_id, status ORDER BY chain_id, status`,
  );
  return rows.map((row) => ({
    chainId: Number(row.chain_id),
    status: row.status,
    count: Number(row.count),
    oldestDetectedAt: row.oldest,
  }));
}

export interface DeliveriesInFlight {
  /** To be attempted now. */
  readonly dueCount: number;
  /** To be attempted again later. */
  readonly waitingCount: number;
  readonly oldestCreatedAt: Date | null;
}

export async function countDeliveriesInFlight(sql: Sql): Promise<DeliveriesInFlight> {
  const [row] = await sql.query<{ due: bigint; waiting: bigint; oldest: Date | null }>(
    `SELECT count(*) FILTER (WHERE d.next_attempt_at <= now()) AS due,
       count(*) FILTER (WHERE d.next_attempt_at > now()) AS waiting, min(d.created_at) AS oldest
     FROM due_deliveries d JOIN endpoints e ON e.id = d.endpoint_id
     WHERE e.status = 'enabled' AND e.deleted_at IS NULL`,
  );
  return {
    dueCount: Number(row?.due ?? 0n),
    waitingCount: Number(row?.waiting ?? 0n),
    oldestCreatedAt: row?.oldest ?? null,
  };
}

/** Merchants' endpoints, by how they are. */
export interface EndpointCounts {
  readonly enabled: number;
  /** Of those: no attempt succeeded since some failed. */
  readonly failing: number;
  /** Of those: left alone for a while. */
  readonly paused: number;
  readonly disabled: number;
}

export async function countEndpoints(sql: Sql): Promise<EndpointCounts> {
  const [row] = await sql.query<EndpointCounts>(
    `SELECT count(*) FILTER (WHERE status = 'enabled')::integer AS enabled,
       count(*) FILTER (WHERE status = 'enabled' AND failing_since IS NOT NULL)::integer AS failing,
       count(*) FILTER (WHERE status = 'enabled' AND paused_until > now())::integer AS paused,
       count(*) FILTER (WHERE status = 'disabled')::integer AS disabled
     FROM endpoints WHERE deleted_at IS NULL`,
  );
  return row ?? { enabled: 0, failing: 0, paused: 0, disabled: 0 };
}

/** An endpoint that an operator should know of. */
export interface UnwellEndpoint {
  readonly id: string;
  readonly merchantId: string;
  readonly url: string;
  readonly isPaused: boolean;
  /** `gone` or `failing`; `null` while it is enabled. */
  readonly disabledReason: string | null;
  readonly failingSince: Date | null;
  /** Deliveries due to it, counted up to ten thousand. */
  readonly dueCount: number;
}

/** Those that fail, and those that were disabled by that and not by their merchant: the longest first. */
export async function listUnwellEndpoints(sql: Sql, limit: number): Promise<UnwellEndpoint[]> {
  return sql.query<UnwellEndpoint>(
    `SELECT p.id, p.merchant_id AS "merchantId", p.url, coalesce(p.paused_until > now(), false) AS "isPaused",
       p.disabled_reason AS "disabledReason", p.failing_since AS "failingSince", (
         SELECT count(*) FROM (
           SELECT FROM due_deliveries d WHERE d.endpoint_id = p.id LIMIT 10000
         ) due
       )::integer AS "dueCount"
     FROM endpoints p
     WHERE p.deleted_at IS NULL AND (p.disabled_reason <> 'by_merchant' OR p.status = 'enabled' AND p.failing_since IS NOT NULL)
     ORDER BY p.failing_since NULLS LAST, p.id LIMIT $1`,
    [limit],
  );
}

export interface WaitingSeenPayments {
  readonly chainId: number;
  readonly count: number;
  readonly oldestDetectedAt: Date;
}

/** Payments that wait in the mempool. */
export async function countSeenPayments(sql: Sql): Promise<WaitingSeenPayments[]> {
  const rows = await sql.query<{ chain_id: bigint; count: bigint; oldest: Date }>(
    `SELECT chain_id, count(*) AS count, min(detected_at) AS oldest FROM seen_payments
     WHERE status = 'seen' GROUP BY chain_id ORDER BY chain_id`,
  );
  return rows.map((row) => ({
    chainId: Number(row.chain_id),
    count: Number(row.count),
    oldestDetectedAt: row.oldest,
  }));
}

/** Deposits that wait for a review. */
export async function countHeldDeposits(
  sql: Sql,
): Promise<{ readonly chainId: number; readonly reason: string; readonly count: number }[]> {
  const rows = await sql.query<{ chain_id: bigint; reason: string | null; count: bigint }>(
    `SELECT d.chain_id, d.reason, count(*) AS count FROM waiting_deposits w JOIN deposits d ON d.id = w.deposit_id
     WHERE w.status = 'held' AND d.status = 'held' GROUP BY d.chain_id, d.reason`,
  );
  return rows.map((row) => ({
    chainId: Number(row.chain_id),
    reason: row.reason ?? "",
    count: Number(row.count),
  }));
}

/** Orders that wait for their payment or their deadline. */
export async function countRunningOrders(
  sql: Sql,
): Promise<{ readonly chainId: number; readonly status: string; readonly count: number }[]> {
  const rows = await sql.query<{ chain_id: bigint; status: string; count: bigint }>(
    `SELECT chain_id, status, count(*) AS count FROM orders WHERE status IN ('open', 'underpaid')
     GROUP BY chain_id, status`,
  );
  return rows.map(({ chain_id: chainId, status, count }) => ({
    chainId: Number(chainId),
    status,
    count: Number(count),
  }));
}

/** Deposits that wait for the screening service. */
export async function countScreeningsDue(sql: Sql): Promise<number> {
  const [row] = await sql.query<{ count: bigint }>(
    "SELECT count(*) AS count FROM screenings WHERE state = 'due'",
  );
  return Number(row?.count ?? 0n);
}

/** The server's version and clock. */
export async function readServer(sql: Sql): Promise<{ version: string; time: Date }> {
  const [row] = await sql.query<{ version: string; time: Date }>(
    "SELECT current_setting('server_version') AS version, clock_timestamp() AS time",
  );
  return { version: row?.version ?? "", time: row?.time ?? new Date(0) };
}
