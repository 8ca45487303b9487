/**
 * The cursor of each chain: where it stands, how it moves, and up to where thresholds are met at it. Every move is
 * fenced by the lease token: a follower that lost its lease moves nothing.
 */
import type { BlockHeader } from "../core/chain.ts";
import { TemporaryError } from "../core/errors.ts";
import { type Hash, hexToBytes } from "../core/hex.ts";
import type { Sql } from "../db/database.ts";
import { insertBlockRefs } from "./block-ref-store.ts";

/** The place on a chain that the next ingest starts from, and the right to write there. */
export interface CursorClaim {
  readonly chainId: number;
  readonly number: bigint;
  readonly hash: Hash;
  readonly leaseToken: bigint;
}

/**
 * Sets the first cursor of a chain never followed before: the block before the first one to ingest.
 *
 * @param refs that block, the last of them, with ancestors of it, oldest first
 */
export async function startCursor(
  tx: Sql,
  chainId: number,
  leaseToken: bigint,
  refs: readonly BlockHeader[],
): Promise<void> {
  const header = refs.at(-1);
  if (header === undefined) throw new RangeError("A cursor needs a block");
  const rows = await tx.query(
    `UPDATE chains SET cursor_number = $3, cursor_hash = $4, cursor_time = to_timestamp($5), cursor_at = now()
     WHERE chain_id = $1 AND lease_token = $2 AND cursor_number IS NULL
     RETURNING 1`,
    [chainId, leaseToken, header.number, hexToBytes(header.hash), header.timestamp],
  );
  if (rows.length === 0) throw cursorMoved({ chainId, number: header.number, hash: header.hash, leaseToken });
  await insertBlockRefs(
    tx,
    chainId,
    refs.map((ref) => ({ ...ref, verification: null })),
  );
}

/**
 * Moves the cursor from where the caller believes it to be. Its row lock makes ingest, undo and settle of a
 * chain take turns until the transaction ends.
 *
 * @throws {TemporaryError} `cursor_moved` when the cursor, the lease or the chain's state is not as expected:
 * a second follower, a stale one, a replay, or a halted chain. Nothing was changed.
 */
export async function moveCursor(
  tx: Sql,
  expected: CursorClaim,
  to: Omit<BlockHeader, "parentHash">,
): Promise<void> {
  const rows = await tx.query(
    `UPDATE chains SET cursor_number = $5, cursor_hash = $6, cursor_time = to_timestamp($7), cursor_at = now(),
       witnessed_number = CASE WHEN witnessed_number > $5 THEN $5 ELSE witnessed_number END
     WHERE chain_id = $1 AND cursor_number = $2 AND cursor_hash = $3 AND lease_token = $4 AND state = 'following'
     RETURNING 1`,
    [
      expected.chainId,
      expected.number,
      hexToBytes(expected.hash),
      expected.leaseToken,
      to.number,
      hexToBytes(to.hash),
      to.timestamp,
    ],
  );
  if (rows.length === 0) throw cursorMoved(expected);
}

export interface SettledAt {
  /** From which depths are counted as they are told. */
  readonly cursorNumber: bigint;
  /** Up to where thresholds are met. */
  readonly reached: ReachedNumbers;
  /** The transaction's time by the database's clock. */
  readonly at: Date;
}

/** Cursor and tags, none of them above the newest block that enough nodes hold. */
export interface ReachedNumbers {
  readonly cursorNumber: bigint;
  readonly safeNumber: bigint | null;
  readonly finalizedNumber: bigint | null;
}

/** Where no witnesses are asked for, the cursor itself; where none was heard yet, below every block. */
const WITNESSED = "CASE WHEN witnesses > 1 THEN coalesce(witnessed_number, -1) ELSE cursor_number END";

const REACHED_COLUMNS = `cursor_number, LEAST(cursor_number, ${WITNESSED}) AS reached_number,
  CASE WHEN safe_number IS NOT NULL THEN LEAST(safe_number, ${WITNESSED}) END AS safe_number,
  CASE WHEN finalized_number IS NOT NULL THEN LEAST(finalized_number, ${WITNESSED}) END AS finalized_number`;

interface ReachedRow {
  cursor_number: bigint;
  reached_number: bigint;
  safe_number: bigint | null;
  finalized_number: bigint | null;
}

/** Holds the chain's cursor where it is until the transaction ends; `null` when the chain is halted or has none. */
export async function holdCursor(tx: Sql, chainId: number): Promise<SettledAt | null> {
  const [row] = await tx.query<ReachedRow & { at: Date }>(
    `SELECT ${REACHED_COLUMNS}, now() AS at FROM chains
     WHERE chain_id = $1 AND state = 'following' AND cursor_number IS NOT NULL FOR SHARE`,
    [chainId],
  );
  return row === undefined ? null : { cursorNumber: row.cursor_number, reached: toReached(row), at: row.at };
}

/** Up to where thresholds are met at this moment; `null` when the chain is halted or has no cursor. */
export async function readReached(sql: Sql, chainId: number): Promise<ReachedNumbers | null> {
  const [row] = await sql.query<ReachedRow>(
    `SELECT ${REACHED_COLUMNS} FROM chains
     WHERE chain_id = $1 AND state = 'following' AND cursor_number IS NOT NULL`,
    [chainId],
  );
  return row === undefined ? null : toReached(row);
}

function toReached(row: ReachedRow): ReachedNumbers {
  return {
    cursorNumber: row.reached_number,
    safeNumber: row.safe_number,
    finalizedNumber: row.finalized_number,
  };
}

function cursorMoved(expected: CursorClaim): TemporaryError {
  return new TemporaryError("cursor_moved", "The chain's cursor is not where this follower left it", {
    chainId: expected.chainId,
    expectedNumber: expected.number,
    expectedHash: expected.hash,
  });
}
