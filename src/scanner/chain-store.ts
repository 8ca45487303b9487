/**
 * What we hold of each chain beside its cursor (cursor-store): its state, and what the nodes said last. What a follower
 * writes is fenced by the lease token: one that lost its lease writes nothing.
 */
import type { BlockHeader } from "../core/chain.ts";
import { FatalError, InputError } from "../core/errors.ts";
import { bytesToHex, type Hash, hexToBytes } from "../core/hex.ts";
import type { Verification, VerificationMemory, VerificationState } from "../core/verification.ts";
import type { Sql } from "../db/database.ts";
import { insertBlockRefs } from "./block-ref-store.ts";

export interface ChainState {
  readonly chainId: number;
  readonly name: string;
  readonly state: "following" | "halted";
  readonly stateReason: string | null;
  readonly cursorNumber: bigint | null;
  readonly cursorHash: Hash | null;
  readonly cursorTime: Date | null;
  /** When the cursor moved last, by the database's clock. */
  readonly cursorAt: Date | null;
  readonly headNumber: bigint | null;
  readonly headAt: Date | null;
  readonly safeNumber: bigint | null;
  readonly finalizedNumber: bigint | null;
  /** Where and when the chain began to catch up, by the database's clock; `null` while it is at its head. */
  readonly behindFrom: bigint | null;
  readonly behindSince: Date | null;
  /** When each of them changed last: since then it stands still. */
  readonly safeAt: Date | null;
  readonly finalizedAt: Date | null;
  readonly leaseHolder: string | null;
  readonly leaseUntil: Date | null;
  readonly verification: VerificationState;
  /** How many nodes must hold what is credited, and the newest block that they hold. */
  readonly witnesses: number;
  readonly witnessedNumber: bigint | null;
}

interface ChainRow {
  chain_id: bigint;
  name: string;
  state: "following" | "halted";
  state_reason: string | null;
  cursor_number: bigint | null;
  cursor_hash: Buffer | null;
  cursor_time: Date | null;
  cursor_at: Date | null;
  head_number: bigint | null;
  head_at: Date | null;
  safe_number: bigint | null;
  finalized_number: bigint | null;
  behind_from: bigint | null;
  behind_since: Date | null;
  safe_at: Date | null;
  finalized_at: Date | null;
  lease_holder: string | null;
  lease_until: Date | null;
  verification: Verification | null;
  verification_expected: Verification | null;
  verification_alarm: string | null;
  verification_parts: string[];
  verification_shortfalls: string[];
  verification_familiar: string[];
  witnesses: number;
  witnessed_number: bigint | null;
}

/** Makes sure that the chain has a row. @param witnesses how many nodes must hold what is credited */
export async function registerChain(sql: Sql, chainId: number, name: string, witnesses = 1): Promise<void> {
  await sql.query(
    `INSERT INTO chains (chain_id, name, witnesses) VALUES ($1, $2, $3)
     ON CONFLICT (chain_id) DO UPDATE SET name = excluded.name, witnesses = excluded.witnesses
     WHERE (chains.name, chains.witnesses) <> (excluded.name, excluded.witnesses)`,
    [chainId, name, witnesses],
  );
}

export async function listChainStates(sql: Sql): Promise<ChainState[]> {
  const rows = await sql.query<ChainRow>("SELECT * FROM chains ORDER BY chain_id");
  return rows.map(toChainState);
}

export async function findChainState(sql: Sql, chainId: number): Promise<ChainState | undefined> {
  const rows = await sql.query<ChainRow>("SELECT * FROM chains WHERE chain_id = $1", [chainId]);
  return rows.map(toChainState)[0];
}

/** The transaction's time, by the database's clock. */
export async function readTime(tx: Sql): Promise<Date> {
  const [row] = await tx.query<{ now: Date }>("SELECT now() AS now");
  if (row === undefined) throw new RangeError("The database has no time");
  return row.now;
}

/**
 * Enough nodes hold this block. It counts only if it is on our branch still.
 *
 * @returns whether it is higher than the one before
 */
export async function recordWitnessed(
  tx: Sql,
  chainId: number,
  leaseToken: bigint,
  { number, hash }: Pick<BlockHeader, "number" | "hash">,
): Promise<boolean> {
  // First the chain's row: no undo can pass between the look at the branch and the commit.
  await tx.query("SELECT FROM chains WHERE chain_id = $1 FOR UPDATE", [chainId]);
  const rows = await tx.query(
    `UPDATE chains SET witnessed_number = $3
     WHERE chain_id = $1 AND lease_token = $2 AND (witnessed_number IS NULL OR witnessed_number < $3)
       AND EXISTS (SELECT FROM block_refs WHERE chain_id = $1 AND number = $3 AND hash = $4)
     RETURNING 1`,
    [chainId, leaseToken, number, hexToBytes(hash)],
  );
  return rows.length > 0;
}

/** Where a chain stands and since when, for telling what its deposits wait for. */
export interface ChainStandingRow {
  readonly cursorNumber: bigint;
  readonly safeNumber: bigint | null;
  readonly finalizedNumber: bigint | null;
  readonly haltedReason: string | null;
  readonly safeAt: Date | null;
  readonly finalizedAt: Date | null;
  readonly witnesses: number;
  readonly witnessedNumber: bigint | null;
  /** The database's clock. */
  readonly now: Date;
}

/** @throws {FatalError} when the chain has no row, or no cursor: then it can have no deposits */
export async function getChainStanding(sql: Sql, chainId: number): Promise<ChainStandingRow> {
  const [row] = await sql.query<
    Pick<
      ChainRow,
      | "cursor_number"
      | "safe_number"
      | "finalized_number"
      | "state_reason"
      | "safe_at"
      | "finalized_at"
      | "witnesses"
      | "witnessed_number"
    > & { now: Date }
  >(
    `SELECT cursor_number, safe_number, finalized_number, state_reason, safe_at, finalized_at, witnesses,
       witnessed_number, now() AS now
     FROM chains WHERE chain_id = $1`,
    [chainId],
  );
  if (row === undefined || row.cursor_number === null)
    throw new FatalError("not_found", `Chain ${chainId} is not followed`, { chainId });
  return {
    cursorNumber: row.cursor_number,
    safeNumber: row.safe_number,
    finalizedNumber: row.finalized_number,
    haltedReason: row.state_reason,
    safeAt: row.safe_at,
    finalizedAt: row.finalized_at,
    witnesses: row.witnesses,
    witnessedNumber: row.witnessed_number,
    now: row.now,
  };
}

/** What the nodes say of the head, and the tags as far as they are on our own chain. */
export async function recordHead(
  sql: Sql,
  chainId: number,
  leaseToken: bigint,
  head: { headNumber: bigint; safeNumber: bigint | null; finalizedNumber: bigint | null },
): Promise<void> {
  await sql.query(
    `UPDATE chains SET head_number = $3, head_at = now(), safe_number = $4, finalized_number = $5,
       safe_at = CASE WHEN safe_number IS DISTINCT FROM $4 THEN now() ELSE safe_at END,
       finalized_at = CASE WHEN finalized_number IS DISTINCT FROM $5 THEN now() ELSE finalized_at END
     WHERE chain_id = $1 AND lease_token = $2`,
    [chainId, leaseToken, head.headNumber, head.safeNumber, head.finalizedNumber],
  );
}

/** What the blocks proved so far, and whether less is proved now. */
export async function recordVerification(
  sql: Sql,
  chainId: number,
  leaseToken: bigint,
  { level, expected, alarm, memory }: VerificationState,
): Promise<void> {
  await sql.query(
    `UPDATE chains SET verification = $3, verification_expected = $4, verification_alarm = $5,
       verification_parts = $6, verification_shortfalls = $7, verification_familiar = $8
     WHERE chain_id = $1 AND lease_token = $2`,
    [
      chainId,
      leaseToken,
      level,
      expected,
      alarm,
      memory?.parts ?? [],
      memory?.shortfalls ?? [],
      memory?.familiar ?? [],
    ],
  );
}

/** Notes that the chain has far to go from its cursor, or that it has not. */
export async function recordBehind(
  sql: Sql,
  chainId: number,
  leaseToken: bigint,
  isBehind: boolean,
): Promise<void> {
  await sql.query(
    isBehind
      ? `UPDATE chains SET behind_from = cursor_number, behind_since = now() WHERE chain_id = $1 AND lease_token = $2`
      : `UPDATE chains SET behind_from = NULL, behind_since = NULL
         WHERE chain_id = $1 AND lease_token = $2 AND behind_from IS NOT NULL`,
    [chainId, leaseToken],
  );
}

/**
 * Stops the chain until an operator resumes it: nothing is ingested, undone or settled. `false`: the lease is somebody
 * else's by now, and nothing was changed.
 */
export async function haltChain(
  sql: Sql,
  chainId: number,
  leaseToken: bigint,
  reason: string,
): Promise<boolean> {
  const rows = await sql.query(
    `UPDATE chains SET state = 'halted', state_reason = $3 WHERE chain_id = $1 AND lease_token = $2 RETURNING 1`,
    [chainId, leaseToken, reason],
  );
  return rows.length > 0;
}

/**
 * Lets a halted chain go on from a block that an operator chose. The lease passes on, so that a follower that
 * still has the old branch in mind writes nothing.
 *
 * @throws {InputError} `invalid_request` when the chain is not halted
 */
export async function resumeChainAt(tx: Sql, chainId: number, header: BlockHeader): Promise<void> {
  const rows = await tx.query(
    `UPDATE chains SET state = 'following', state_reason = NULL, cursor_number = $2, cursor_hash = $3,
       cursor_time = to_timestamp($4), cursor_at = now(), safe_number = NULL, finalized_number = NULL,
       witnessed_number = NULL,
       lease_holder = NULL, lease_until = NULL, lease_token = lease_token + 1
     WHERE chain_id = $1 AND state = 'halted' RETURNING 1`,
    [chainId, header.number, hexToBytes(header.hash), header.timestamp],
  );
  if (rows.length === 0) throw new InputError("invalid_request", "The chain is not halted", { chainId });
  await tx.query("DELETE FROM block_refs WHERE chain_id = $1", [chainId]);
  await insertBlockRefs(tx, chainId, [{ ...header, verification: null }]);
}

/** @throws {FatalError} when the chain has no row: it was never registered. */
export async function getChainState(sql: Sql, chainId: number): Promise<ChainState> {
  const state = await findChainState(sql, chainId);
  if (state === undefined)
    throw new FatalError("not_found", `Chain ${chainId} is not in the database`, { chainId });
  return state;
}

function toChainState(row: ChainRow): ChainState {
  return {
    chainId: Number(row.chain_id),
    name: row.name,
    state: row.state,
    stateReason: row.state_reason,
    cursorNumber: row.cursor_number,
    cursorHash: row.cursor_hash === null ? null : bytesToHex(row.cursor_hash),
    cursorTime: row.cursor_time,
    cursorAt: row.cursor_at,
    headNumber: row.head_number,
    headAt: row.head_at,
    safeNumber: row.safe_number,
    finalizedNumber: row.finalized_number,
    behindFrom: row.behind_from,
    behindSince: row.behind_since,
    safeAt: row.safe_at,
    finalizedAt: row.finalized_at,
    leaseHolder: row.lease_holder,
    leaseUntil: row.lease_until,
    verification: {
      level: row.verification,
      expected: row.verification_expected,
      alarm: row.verification_alarm,
      memory: toMemory(row),
    },
    witnesses: row.witnesses,
    witnessedNumber: row.witnessed_number,
  };
}

/** Nothing in any of the lists: nothing was found out yet. */
function toMemory(row: ChainRow): VerificationMemory | null {
  const memory = {
    parts: row.verification_parts,
    shortfalls: row.verification_shortfalls,
    familiar: row.verification_familiar,
  };
  return Object.values(memory).every((list) => list.length === 0) ? null : memory;
}
