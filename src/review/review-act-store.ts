/** What operators asked to be done with a held deposit: proposals, and what was carried out. */
import type { Actor } from "../core/actor.ts";
import type { Deposit } from "../core/deposit.ts";
import type { Sql } from "../db/database.ts";

export const REVIEW_ACTS = ["release", "reject"] as const;
export type ReviewAct = (typeof REVIEW_ACTS)[number];

/** What one operator asks for; who changes their mind takes back what they asked before. */
export interface AskedAct {
  readonly actor: string;
  readonly act: ReviewAct;
  readonly note: string;
  /** The deposit's while it was held. */
  readonly sequence: number;
  readonly askedAt: Date;
  /** `null`: a proposal. */
  readonly carriedOutAt: Date | null;
  /** False for the proposal of an operator who has no key any more: it waits for nobody. */
  readonly isStanding: boolean;
}

type Inclusion = Pick<Deposit, "id" | "generation">;

/** Of each of these inclusions all that was asked, the oldest first. Of an earlier inclusion nothing counts. */
export async function listReviewActs(
  sql: Sql,
  inclusions: readonly Inclusion[],
): Promise<ReadonlyMap<string, readonly AskedAct[]>> {
  if (inclusions.length === 0) return new Map();
  const rows = await sql.query<AskedAct & { depositId: string }>(
    `SELECT r.deposit_id AS "depositId", r.actor, r.act, r.note, r.sequence, r.asked_at AS "askedAt",
       r.carried_out_at AS "carriedOutAt",
       (r.actor NOT LIKE 'operator:%' OR EXISTS (
         SELECT FROM api_keys k
         WHERE k.operator AND k.revoked_at IS NULL AND 'operator:' || k.operator_name = r.actor)) AS "isStanding"
     FROM unnest($1::text[], $2::integer[]) AS i(deposit_id, generation)
     JOIN review_acts r ON r.deposit_id = i.deposit_id AND r.generation = i.generation
     ORDER BY r.asked_at, r.actor`,
    [inclusions.map(({ id }) => id), inclusions.map(({ generation }) => generation)],
  );
  return new Map(inclusions.map(({ id }) => [id, rows.filter((row) => row.depositId === id)]));
}

/** Writes down what an operator asks for, in place of what the same one asked before. */
export async function putReviewAct(
  tx: Sql,
  { id, generation, sequence }: Inclusion & Pick<Deposit, "sequence">,
  asked: { readonly actor: Actor; readonly act: ReviewAct; readonly note: string },
): Promise<void> {
  await tx.query(
    `INSERT INTO review_acts AS r (deposit_id, generation, actor, act, note, sequence) VALUES ($1, $2, $3, $4, $5, $6)
     ON CONFLICT (deposit_id, generation, actor) DO UPDATE
     SET act = excluded.act, note = excluded.note, sequence = excluded.sequence, asked_at = excluded.asked_at`,
    [id, generation, asked.actor.id, asked.act, asked.note, sequence],
  );
}

/** From now on these are no proposals any more: it was done. */
export async function markCarriedOut(tx: Sql, { id, generation }: Inclusion, act: ReviewAct): Promise<void> {
  await tx.query(
    "UPDATE review_acts SET carried_out_at = now() WHERE deposit_id = $1 AND generation = $2 AND act = $3",
    [id, generation, act],
  );
}
