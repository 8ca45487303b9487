/**
 * Rescans of the past for one address on one chain: asked for by `watchFrom`, worked off in the background.
 *
 *   due      nobody has begun                              → running, when a worker claims it
 *   running  [from, next) was scanned                      → done, when next is above to; claimed by another, when
 *                                                            its worker gives no sign of life
 *   done     [from, to] was scanned                        → due, when an earlier watchFrom is asked for
 *
 * Progress is kept in the transaction of the deposits it found, so a kill loses nothing and skips nothing.
 */
import { type Address, bytesToHex, hexToBytes } from "../core/hex.ts";
import type { Sql } from "../db/database.ts";

export const RESCAN_STATES = ["due", "running", "done"] as const;
export type RescanState = (typeof RESCAN_STATES)[number];

export interface AddressRescan {
  readonly address: Address;
  readonly chainId: number;
  readonly state: RescanState;
  /** The earliest time that was asked for, if any was. */
  readonly fromTime: Date | null;
  /** The first block; `null` until the time is resolved. */
  readonly from: bigint | null;
  /** The next block to scan. */
  readonly next: bigint | null;
  /** The last block; `null` while the chain had no cursor yet. */
  readonly to: bigint | null;
  /** The time is still to be resolved. */
  readonly isTimeOpen: boolean;
  readonly progressedAt: Date;
}

interface RescanRow {
  address: Buffer;
  chain_id: bigint;
  state: RescanState;
  from_time: Date | null;
  is_time_open: boolean;
  from_number: bigint | null;
  next_number: bigint | null;
  to_number: bigint | null;
  progressed_at: Date;
}

const COLUMNS = `address, chain_id, state, from_time, from_time IS DISTINCT FROM resolved_time AS is_time_open,
  from_number, next_number, to_number, progressed_at`;

/** Since when one chain is to be looked at. */
export interface RescanWish {
  readonly chainId: number;
  readonly from: { readonly block: bigint } | { readonly time: Date };
}

/**
 * Asks for rescans up to the cursors of now. Call it in the transaction that registers the address, behind the gate:
 * then what lies above these cursors is matched by the ingest. An earlier wish extends a rescan that is there, which
 * begins anew from that block; a later one changes nothing.
 */
export async function requestRescans(
  tx: Sql,
  address: Address,
  wishes: readonly RescanWish[],
): Promise<void> {
  await tx.query(
    `INSERT INTO address_rescans AS r (address, chain_id, from_time, from_number, next_number, to_number)
     SELECT $1, w.chain_id, w.time, w.block, w.block, c.cursor_number
     FROM unnest($2::bigint[], $3::timestamptz[], $4::bigint[]) AS w(chain_id, time, block)
     JOIN chains c ON c.chain_id = w.chain_id
     ORDER BY w.chain_id
     ON CONFLICT (address, chain_id) DO UPDATE
     SET state = 'due', claimed_by = NULL, claimed_until = NULL, finished_at = NULL,
       from_time = least(r.from_time, excluded.from_time),
       from_number = least(r.from_number, excluded.from_number),
       next_number = CASE WHEN r.from_number <= excluded.from_number THEN r.next_number
         ELSE coalesce(excluded.from_number, r.next_number) END
     WHERE excluded.from_time < coalesce(r.from_time, 'infinity')
       OR excluded.from_number < coalesce(r.from_number, 9223372036854775807)`,
    [
      hexToBytes(address),
      wishes.map((wish) => wish.chainId),
      wishes.map((wish) => ("time" in wish.from ? wish.from.time : null)),
      wishes.map((wish) => ("block" in wish.from ? wish.from.block : null)),
    ],
  );
}

/** Those of one address, by chain. */
export async function listRescans(sql: Sql, address: Address): Promise<AddressRescan[]> {
  const rows = await sql.query<RescanRow>(
    `SELECT ${COLUMNS} FROM address_rescans WHERE address = $1 ORDER BY chain_id`,
    [hexToBytes(address)],
  );
  return rows.map(toRescan);
}

/** A worker's right to some rescans of a chain. */
export interface RescanClaim {
  readonly chainId: number;
  /** The worker's own name: no other has it, not even the same one after a restart. */
  readonly holder: string;
  readonly leaseMs: number;
}

/**
 * Takes what nobody works on, and holds on to what is the caller's already. Those that wait longest come first.
 *
 * @param cursor of the chain: the last block for rescans that were asked for before there was one
 */
export async function claimRescans(
  sql: Sql,
  claim: RescanClaim,
  cursor: bigint,
  limit: number,
): Promise<AddressRescan[]> {
  const rows = await sql.query<RescanRow>(
    `WITH picked AS (
       SELECT address AS picked_address FROM address_rescans
       WHERE chain_id = $1 AND state <> 'done'
         AND (claimed_by = $2 OR claimed_until IS NULL OR claimed_until <= clock_timestamp())
       ORDER BY progressed_at, address LIMIT $5 FOR UPDATE SKIP LOCKED
     )
     UPDATE address_rescans SET state = 'running', claimed_by = $2,
       claimed_until = clock_timestamp() + $3 * interval '1 millisecond', to_number = coalesce(to_number, $4)
     FROM picked WHERE address = picked_address AND chain_id = $1
     RETURNING ${COLUMNS}`,
    [claim.chainId, claim.holder, claim.leaseMs, cursor, limit],
  );
  return rows.map(toRescan);
}

/** Keeps which block a time is: rescans of the caller's that begin there, unless they begin earlier. */
export async function resolveRescanTime(
  sql: Sql,
  claim: RescanClaim,
  time: Date,
  block: bigint,
): Promise<void> {
  await sql.query(
    `UPDATE address_rescans SET resolved_time = from_time, from_number = least(from_number, $4),
       next_number = CASE WHEN from_number <= $4 THEN next_number ELSE $4 END
     WHERE chain_id = $1 AND claimed_by = $2 AND from_time = $3`,
    [claim.chainId, claim.holder, time, block],
  );
}

/**
 * Everything up to a block was scanned for these addresses. What somebody else claimed meanwhile, or was extended,
 * stays as it is: it is scanned again.
 */
export async function keepRescanProgress(
  tx: Sql,
  claim: RescanClaim,
  addresses: readonly Address[],
  upTo: bigint,
): Promise<void> {
  await moveNext(tx, claim, addresses, upTo, "next_number <= $4");
}

/**
 * Ends those that have no block left below the cursor: a reorg took the cursor back, or they began above it. What
 * is above the cursor is matched by the ingest, which knows the addresses since they were registered.
 */
export async function endRescansAbove(
  sql: Sql,
  claim: RescanClaim,
  addresses: readonly Address[],
  cursor: bigint,
): Promise<void> {
  await moveNext(sql, claim, addresses, cursor, "(next_number > $4 OR next_number > to_number)");
}

/** Those whose next block is above their last one, or for whom `upTo` was their last, are done. */
async function moveNext(
  sql: Sql,
  claim: RescanClaim,
  addresses: readonly Address[],
  upTo: bigint,
  which: string,
): Promise<void> {
  await sql.query(
    `UPDATE address_rescans SET next_number = greatest(next_number, least(to_number, $4) + 1),
       state = CASE WHEN ${IS_LAST} THEN 'done' ELSE 'running' END,
       finished_at = CASE WHEN ${IS_LAST} THEN clock_timestamp() END,
       claimed_by = CASE WHEN ${IS_LAST} THEN NULL ELSE claimed_by END,
       claimed_until = CASE WHEN ${IS_LAST} THEN NULL ELSE clock_timestamp() + $3 * interval '1 millisecond' END,
       progressed_at = clock_timestamp()
     WHERE chain_id = $1 AND claimed_by = $2 AND address = ANY($5::bytea[]) AND ${which}`,
    [claim.chainId, claim.holder, claim.leaseMs, upTo, addresses.map(hexToBytes)],
  );
}

const IS_LAST = "to_number <= $4 OR next_number > $4";

/** Gives back what the caller holds, so that nobody has to wait for its time. */
export async function releaseRescans(sql: Sql, claim: RescanClaim): Promise<void> {
  await sql.query(
    `UPDATE address_rescans SET claimed_by = NULL, claimed_until = NULL
     WHERE chain_id = $1 AND claimed_by = $2 AND state <> 'done'`,
    [claim.chainId, claim.holder],
  );
}

export interface LiveRescans {
  readonly chainId: number;
  readonly count: number;
  /** The most that any of them has still to scan; `null` while no time is resolved. */
  readonly blocksLeft: number | null;
  readonly oldestCreatedAt: Date;
}

/** What is not done, by chain. */
export async function countLiveRescans(sql: Sql): Promise<LiveRescans[]> {
  const rows = await sql.query<{ chain_id: bigint; count: bigint; left: bigint | null; oldest: Date }>(
    `SELECT r.chain_id, count(*) AS count, min(r.created_at) AS oldest,
       max(greatest(0, least(r.to_number, c.cursor_number) - r.next_number + 1)) AS left
     FROM address_rescans r JOIN chains c ON c.chain_id = r.chain_id
     WHERE r.state <> 'done' GROUP BY r.chain_id ORDER BY r.chain_id`,
  );
  return rows.map((row) => ({
    chainId: Number(row.chain_id),
    count: Number(row.count),
    blocksLeft: row.left === null ? null : Number(row.left),
    oldestCreatedAt: row.oldest,
  }));
}

function toRescan(row: RescanRow): AddressRescan {
  return {
    address: bytesToHex(row.address),
    chainId: Number(row.chain_id),
    state: row.state,
    fromTime: row.from_time,
    from: row.from_number,
    next: row.next_number,
    to: row.to_number,
    isTimeOpen: row.is_time_open,
    progressedAt: row.progressed_at,
  };
}
