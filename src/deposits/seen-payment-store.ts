/**
 * Seen payments and their status. It changes in two statements only: `insertSeenPayments` (new, or seen again) and
 * `moveSeenPayments`; both change only rows that are as expected, so two daemons that look at one mempool tell of
 * each change once.
 */

import { FatalError } from "../core/errors.ts";
import { bytesToHex, type Hash, hexToBytes } from "../core/hex.ts";
import { canSeenPaymentMove, type SeenPayment, type SeenStatus } from "../core/seen-payment.ts";
import type { Sql } from "../db/database.ts";
import type { JudgedPending } from "./judge-pending.ts";
import { SEEN_PAYMENT_COLUMNS, type SeenPaymentRow, toSeenPayment } from "./seen-payment-row.ts";

/**
 * Writes what a mempool showed. An address that is not watched after all falls away here, as does a transaction that
 * has a deposit already: some node is late. One that was dropped or replaced is `seen` again.
 *
 * The sequence goes on from the events: the row of an old seen payment may have been deleted, and its callbacks
 * cannot be taken back.
 *
 * @returns those that are new, or seen again
 */
export async function insertSeenPayments(
  tx: Sql,
  chainId: number,
  judged: readonly JudgedPending[],
): Promise<SeenPayment[]> {
  if (judged.length === 0) return [];
  const column = (read: (each: JudgedPending) => unknown) => judged.map(read);
  const rows = await tx.query<SeenPaymentRow>(
    `WITH written AS (
       INSERT INTO seen_payments AS s (id, chain_id, tx_hash, source, merchant_id, user_id, order_no, asset_id, token, amount,
         sender, nonce, from_address, to_address, credit_at, unlock_at, status, sequence)
       SELECT t.id, $1, t.tx_hash, t.source, w.merchant_id, w.user_id, w.order_no, t.asset_id, t.token, t.amount,
         t.sender, t.nonce, t.from_address, t.to_address, t.credit_at, t.unlock_at, 'seen',
         1 + coalesce((SELECT max(e.sequence) FROM events e WHERE e.seen_id = t.id), 0)
       FROM unnest($2::text[], $3::bytea[], $4::text[], $5::integer[], $6::bytea[], $7::numeric[], $8::bytea[],
           $9::bigint[], $10::bytea[], $11::bytea[], $12::text[], $13::text[])
         AS t(id, tx_hash, source, asset_id, token, amount, sender, nonce, from_address, to_address, credit_at,
           unlock_at)
       JOIN watched_addresses w ON w.address = t.to_address
       WHERE NOT EXISTS (SELECT FROM deposits d WHERE d.tx_hash = t.tx_hash AND d.chain_id = $1
         AND d.status NOT IN ('orphaned', 'reversed'))
       ORDER BY t.id
       ON CONFLICT (id) DO UPDATE SET status = 'seen', sequence = s.sequence + 1, replaced_by = NULL,
         changed_at = now()
       WHERE s.status IN ('dropped', 'replaced')
       RETURNING *
     )
     SELECT ${SEEN_PAYMENT_COLUMNS} FROM written s JOIN assets a ON a.id = s.asset_id ORDER BY s.id`,
    [
      chainId,
      column((each) => each.id),
      column(({ transfer }) => hexToBytes(transfer.txHash)),
      column(({ transfer }) => transfer.source),
      column((each) => each.assetId),
      column(({ transfer }) => (transfer.token === null ? null : hexToBytes(transfer.token))),
      column(({ transfer }) => transfer.amountBaseUnits.toString()),
      column(({ transfer }) => hexToBytes(transfer.sender)),
      column(({ transfer }) => transfer.nonce),
      column(({ transfer }) => hexToBytes(transfer.from)),
      column(({ transfer }) => hexToBytes(transfer.to)),
      column((each) => each.creditAt),
      column((each) => each.unlockAt),
    ],
  );
  return rows.map(toSeenPayment);
}

export interface SeenMove {
  readonly seen: SeenPayment;
  readonly to: SeenStatus;
  /** Of `replaced`. */
  readonly replacedBy?: Hash | null;
  /** Of `mined`. */
  readonly block?: { readonly number: bigint; readonly hash: Hash };
  readonly depositIds?: readonly string[];
}

/**
 * Moves seen payments, and answers those that moved as they are afterwards. One that is no longer as the caller read
 * it is left alone: somebody else has moved it.
 *
 * @throws {FatalError} `illegal_move`
 */
export async function moveSeenPayments(tx: Sql, moves: readonly SeenMove[]): Promise<SeenPayment[]> {
  if (moves.length === 0) return [];
  for (const { seen, to } of moves) assertMove(seen, to);
  const rows = await tx.query<SeenPaymentRow>(
    `WITH moved AS (
       UPDATE seen_payments s SET status = m.to_status, sequence = s.sequence + 1, replaced_by = m.replaced_by,
         block_number = m.block_number, block_hash = m.block_hash,
         deposit_ids = array(SELECT jsonb_array_elements_text(m.deposit_ids::jsonb)), changed_at = now()
       FROM unnest($1::text[], $2::text[], $3::integer[], $4::text[], $5::bytea[], $6::bigint[], $7::bytea[],
           $8::text[])
         AS m(id, from_status, sequence, to_status, replaced_by, block_number, block_hash, deposit_ids)
       WHERE s.id = m.id AND s.status = m.from_status AND s.sequence = m.sequence
       RETURNING s.*
     )
     SELECT ${SEEN_PAYMENT_COLUMNS} FROM moved s JOIN assets a ON a.id = s.asset_id ORDER BY s.id`,
    [
      moves.map(({ seen }) => seen.id),
      moves.map(({ seen }) => seen.status),
      moves.map(({ seen }) => seen.sequence),
      moves.map(({ to }) => to),
      moves.map(({ replacedBy }) => (replacedBy == null ? null : hexToBytes(replacedBy))),
      moves.map(({ block }) => block?.number ?? null),
      moves.map(({ block }) => (block === undefined ? null : hexToBytes(block.hash))),
      moves.map(({ depositIds }) => JSON.stringify(depositIds ?? [])),
    ],
  );
  return rows.map(toSeenPayment);
}

function assertMove(seen: SeenPayment, to: SeenStatus): void {
  if (canSeenPaymentMove(seen.status, to)) return;
  throw new FatalError("illegal_move", `A seen payment cannot move from ${seen.status} to ${to}`, {
    seenId: seen.id,
    from: seen.status,
    to,
  });
}

/** Those that wait still, in the order of their ids. */
export async function listLiveSeenPayments(sql: Sql, chainId: number, limit: number): Promise<SeenPayment[]> {
  const rows = await sql.query<SeenPaymentRow>(
    `SELECT ${SEEN_PAYMENT_COLUMNS} FROM seen_payments s JOIN assets a ON a.id = s.asset_id
     WHERE s.chain_id = $1 AND s.status = 'seen' ORDER BY s.id LIMIT $2`,
    [chainId, limit],
  );
  return rows.map(toSeenPayment);
}

/** Those that were replaced or dropped a while ago at most, the newest first. */
export async function listGivenUpSeenPayments(
  sql: Sql,
  chainId: number,
  { withinMinutes, limit }: { readonly withinMinutes: number; readonly limit: number },
): Promise<SeenPayment[]> {
  const rows = await sql.query<SeenPaymentRow>(
    `SELECT ${SEEN_PAYMENT_COLUMNS} FROM seen_payments s JOIN assets a ON a.id = s.asset_id
     WHERE s.chain_id = $1 AND s.status <> 'seen' AND s.status <> 'mined'
       AND s.changed_at > now() - $2::integer * interval '1 minute'
     ORDER BY s.changed_at DESC, s.id LIMIT $3`,
    [chainId, withinMinutes, limit],
  );
  return rows.map(toSeenPayment);
}

/**
 * Whatever is not `mined` yet though its transaction has a live deposit in a block above `blockNumber`: what was
 * given up too, for a block may hold what every mempool had forgotten.
 */
export async function findMinedByDeposits(
  sql: Sql,
  chainId: number,
  blockNumber: bigint,
): Promise<SeenMove[]> {
  const rows = await sql.query<SeenPaymentRow & Inclusion>(
    `SELECT ${SEEN_PAYMENT_COLUMNS}, d.in_number, d.in_hash, d.in_deposits
     FROM (
       SELECT tx_hash, to_address, min(block_number) AS in_number,
         (array_agg(block_hash))[1] AS in_hash, array_agg(id ORDER BY id) AS in_deposits
       FROM deposits
       WHERE chain_id = $1 AND block_number > $2 AND tx_hash IS NOT NULL AND status NOT IN ('orphaned', 'reversed')
       GROUP BY tx_hash, to_address
     ) d
     JOIN seen_payments s ON s.tx_hash = d.tx_hash AND s.chain_id = $1 AND s.to_address = d.to_address
     JOIN assets a ON a.id = s.asset_id
     WHERE s.status <> 'mined'`,
    [chainId, blockNumber],
  );
  return rows.map(minedMove);
}

/** A seen payment that a node says is in this block. */
export interface ClaimedInclusion {
  readonly seen: SeenPayment;
  readonly block: { readonly number: bigint; readonly hash: Hash };
}

/**
 * Of what nodes say is mined, that which is in a block of our own chain: the cursor has passed it, so its deposits
 * are written. A block below the kept ones is believed; it is too late to look.
 */
export async function confirmInclusions(
  sql: Sql,
  chainId: number,
  claims: readonly ClaimedInclusion[],
): Promise<SeenMove[]> {
  if (claims.length === 0) return [];
  const rows = await sql.query<{ position: bigint; in_deposits: string[] }>(
    `SELECT c.position, array(
         SELECT d.id FROM deposits d WHERE d.tx_hash = c.tx_hash AND d.chain_id = $1 AND d.to_address = c.to_address
           AND d.status NOT IN ('orphaned', 'reversed') ORDER BY d.id
       ) AS in_deposits
     FROM unnest($2::bytea[], $3::bytea[], $4::bigint[], $5::bytea[]) WITH ORDINALITY
       AS c(tx_hash, to_address, number, hash, position)
     WHERE EXISTS (SELECT FROM block_refs b WHERE b.chain_id = $1 AND b.number = c.number AND b.hash = c.hash)
       OR c.number < (SELECT min(b.number) FROM block_refs b WHERE b.chain_id = $1)`,
    [
      chainId,
      claims.map(({ seen }) => hexToBytes(seen.txHash)),
      claims.map(({ seen }) => hexToBytes(seen.to)),
      claims.map(({ block }) => block.number),
      claims.map(({ block }) => hexToBytes(block.hash)),
    ],
  );
  return rows.flatMap((row) => {
    const claim = claims[Number(row.position) - 1];
    return claim === undefined ? [] : [{ ...claim, to: "mined" as const, depositIds: row.in_deposits }];
  });
}

/** Mined ones whose block is not on our chain any more: they wait again, until somebody says otherwise. */
export async function findTakenBack(sql: Sql, chainId: number): Promise<SeenMove[]> {
  const rows = await sql.query<SeenPaymentRow>(
    `SELECT ${SEEN_PAYMENT_COLUMNS} FROM seen_payments s JOIN assets a ON a.id = s.asset_id
     WHERE s.chain_id = $1 AND s.status = 'mined'
       AND s.block_number >= (SELECT min(number) FROM block_refs WHERE chain_id = $1)
       AND NOT EXISTS (SELECT FROM block_refs b
         WHERE b.chain_id = $1 AND b.number = s.block_number AND b.hash = s.block_hash)`,
    [chainId],
  );
  return rows.map((row) => ({ seen: toSeenPayment(row), to: "seen" as const }));
}

/** Deletes those that ended so long ago; their events stay. */
export async function deleteEndedSeenPayments(sql: Sql, days: number): Promise<number> {
  const rows = await sql.query(
    `DELETE FROM seen_payments WHERE status <> 'seen' AND changed_at < now() - $1::integer * interval '1 day'
     RETURNING 1`,
    [days],
  );
  return rows.length;
}

interface Inclusion {
  in_number: bigint;
  in_hash: Buffer;
  in_deposits: string[];
}

function minedMove(row: SeenPaymentRow & Inclusion): SeenMove {
  return {
    seen: toSeenPayment(row),
    to: "mined",
    block: { number: row.in_number, hash: bytesToHex(row.in_hash) },
    depositIds: row.in_deposits,
  };
}
