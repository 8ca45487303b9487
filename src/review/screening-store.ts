/**
 * What the screening service is asked about deposits, and what it answered: a row for each inclusion. Every time here
 * is the database's.
 *
 *   due        to be asked at `next_attempt_at`; while it is claimed, that lies behind the end of the claim
 *   approve, hold, reject   as the service answered
 *   no_answer  the last attempt of the schedule failed
 *
 * `claim` fences: an outcome is taken only from whoever made the last claim. A process that dies with a question
 * under way uses up no attempt; the claim runs out, and the question is asked again.
 */
import type { Sql } from "../db/database.ts";

/** What the service may say. */
export const SCREENING_ANSWERS = ["approve", "hold", "reject"] as const;
export type ScreeningAnswer = (typeof SCREENING_ANSWERS)[number];

/** A deposit in one inclusion. */
export interface ScreeningKey {
  readonly depositId: string;
  readonly generation: number;
}

/** Of a deposit that waits no longer. */
export interface Screening {
  readonly state: ScreeningAnswer | "no_answer";
  /** What the service said of it, or why the last attempt failed. */
  readonly detail: string | null;
}

/**
 * In the transaction that makes the deposits. Those that have a row already keep it.
 *
 * @param waitMs before the first attempt
 */
export async function insertScreenings(
  tx: Sql,
  keys: readonly ScreeningKey[],
  waitMs: number,
): Promise<void> {
  if (keys.length === 0) return;
  await tx.query(
    `INSERT INTO screenings (deposit_id, generation, next_attempt_at)
     SELECT deposit_id, generation, now() + $3::float8 * interval '1 millisecond' FROM unnest($1::text[], $2::integer[]) AS k(deposit_id, generation)
     ON CONFLICT DO NOTHING`,
    [keys.map(({ depositId }) => depositId), keys.map(({ generation }) => generation), waitMs],
  );
}

/**
 * For pending deposits that have none: from before a service was configured, from a daemon that knows of none, or now
 * measured. Before its amount is measured there is nothing to ask about.
 *
 * @returns how many were made, `limit` at most
 */
export async function insertMissingScreenings(sql: Sql, limit: number): Promise<number> {
  const rows = await sql.query(
    `INSERT INTO screenings (deposit_id, generation, next_attempt_at)
     SELECT d.id, d.generation, now() FROM waiting_deposits w JOIN deposits d ON d.id = w.deposit_id
     WHERE w.status = 'pending' AND d.status = 'pending' AND d.measure_at IS NULL
       AND NOT EXISTS (SELECT FROM screenings s WHERE s.deposit_id = d.id AND s.generation = d.generation)
     LIMIT $1 ON CONFLICT DO NOTHING RETURNING 1`,
    [limit],
  );
  return rows.length;
}

/** A question that is ours to ask until the claim runs out. */
export interface ClaimedScreening extends ScreeningKey {
  readonly claim: number;
  /** Attempts that failed before. */
  readonly failures: number;
}

/** @param leaseMs longer than an attempt may take with the recording of its outcome */
export async function claimScreenings(sql: Sql, limit: number, leaseMs: number): Promise<ClaimedScreening[]> {
  const rows = await sql.query<{ deposit_id: string; generation: number; claim: number; failures: number }>(
    `UPDATE screenings s SET claim = s.claim + 1, next_attempt_at = now() + $2::float8 * interval '1 millisecond'
     FROM (
       SELECT deposit_id, generation FROM screenings WHERE state = 'due' AND next_attempt_at <= now()
       ORDER BY next_attempt_at LIMIT $1 FOR NO KEY UPDATE SKIP LOCKED
     ) picked
     WHERE s.deposit_id = picked.deposit_id AND s.generation = picked.generation
     RETURNING s.deposit_id, s.generation, s.claim, s.failures`,
    [limit, leaseMs],
  );
  return rows.map(({ deposit_id: depositId, ...row }) => ({ depositId, ...row }));
}

/** What came of a claim. */
export type ScreeningOutcome =
  | { readonly next: "ended"; readonly screening: Screening }
  | {
      readonly next: "again";
      readonly waitMs: number;
      readonly detail: string;
      /** Whether it counts: not when this machine could not ask. */
      readonly isFailure: boolean;
    };

/** @returns whether it was taken: not when another claim was made meanwhile */
export async function recordScreening(
  sql: Sql,
  claimed: ClaimedScreening,
  outcome: ScreeningOutcome,
): Promise<boolean> {
  const { state, detail } = outcome.next === "ended" ? outcome.screening : { ...outcome, state: "due" };
  const isFailure = outcome.next === "again" ? outcome.isFailure : state === "no_answer";
  const rows = await sql.query(
    `UPDATE screenings SET state = $4, detail = $5, failures = failures + $6,
       next_attempt_at = now() + $7::float8 * interval '1 millisecond',
       answered_at = CASE WHEN $4 <> 'due' THEN now() END
     WHERE deposit_id = $1 AND generation = $2 AND claim = $3 AND state = 'due' RETURNING 1`,
    [
      claimed.depositId,
      claimed.generation,
      claimed.claim,
      state,
      detail,
      isFailure ? 1 : 0,
      outcome.next === "again" ? outcome.waitMs : 0,
    ],
  );
  return rows.length > 0;
}

/** Of deposits that are not pending any more, in this inclusion: nobody waits for an answer. */
export async function deleteScreenings(sql: Sql, keys: readonly ScreeningKey[]): Promise<void> {
  if (keys.length === 0) return;
  await sql.query(
    `DELETE FROM screenings s USING unnest($1::text[], $2::integer[]) AS k(deposit_id, generation)
     WHERE s.deposit_id = k.deposit_id AND s.generation = k.generation AND s.state = 'due'`,
    [keys.map(({ depositId }) => depositId), keys.map(({ generation }) => generation)],
  );
}

/** What was answered, by deposit; those that still wait are left out. */
export async function readScreenings(
  sql: Sql,
  keys: readonly ScreeningKey[],
): Promise<ReadonlyMap<string, Screening>> {
  if (keys.length === 0) return new Map();
  const rows = await sql.query<Screening & { deposit_id: string }>(
    `SELECT s.deposit_id, s.state, s.detail
     FROM unnest($1::text[], $2::integer[]) AS k(deposit_id, generation)
     JOIN screenings s ON s.deposit_id = k.deposit_id AND s.generation = k.generation AND s.state <> 'due'`,
    [keys.map(({ depositId }) => depositId), keys.map(({ generation }) => generation)],
  );
  return new Map(rows.map(({ deposit_id, ...screening }) => [deposit_id, screening]));
}

/** Since when a deposit waits for its answer; `null` when it does not. */
export async function findScreeningSince(sql: Sql, key: ScreeningKey): Promise<Date | null> {
  const [row] = await sql.query<{ created_at: Date }>(
    "SELECT created_at FROM screenings WHERE deposit_id = $1 AND generation = $2 AND state = 'due'",
    [key.depositId, key.generation],
  );
  return row?.created_at ?? null;
}
