/**
 * `Idempotency-Key`: a request that is sent again under its key is answered again, not done again.
 *
 * The key's row, the work and the answer are one transaction. So a crash leaves either all of them or none: a
 * key is never burnt by a request that did not finish. Of two at once the second waits at the row of the first
 * and then reads its answer.
 */
import { InputError } from "../core/errors.ts";
import type { Database, Sql } from "../db/database.ts";

export interface IdempotentRequest {
  readonly merchantId: string;
  readonly key: string;
  /** SHA-256 of all that the answer depends on. */
  readonly requestHash: Buffer;
}

export interface KeptAnswer {
  readonly status: number;
  /** The exact text of the answer, or what the caller made of it so that no secret is kept in clear. */
  readonly response: string;
}

/**
 * Does the work and keeps its answer, or answers what was kept. Only success is kept: a request that was refused
 * has changed nothing, and may be sent again, corrected, under the same key.
 *
 * @throws {InputError} `idempotency_conflict` when the key was used for another request.
 */
export async function answerOnce(
  database: Database,
  request: IdempotentRequest,
  work: (tx: Sql) => Promise<KeptAnswer>,
): Promise<KeptAnswer> {
  const { merchantId, key, requestHash } = request;
  return database.transaction(async (tx) => {
    const inserted = await tx.query(
      `INSERT INTO idempotency_keys (merchant_id, key, request_hash) VALUES ($1, $2, $3)
       ON CONFLICT (merchant_id, key) DO NOTHING RETURNING 1`,
      [merchantId, key, requestHash],
    );
    if (inserted.length === 0) return readAnswer(tx, request);
    const answer = await work(tx);
    await tx.query(
      "UPDATE idempotency_keys SET status = $3, response = $4 WHERE merchant_id = $1 AND key = $2",
      [
        merchantId,
        key,
        answer.status,
        // As one JSON text: jsonb would put the keys of an object into another order.
        JSON.stringify(answer.response),
      ],
    );
    return answer;
  });
}

async function readAnswer(tx: Sql, request: IdempotentRequest): Promise<KeptAnswer> {
  const [row] = await tx.query<{ request_hash: Buffer; status: number; response: string }>(
    "SELECT request_hash, status, response FROM idempotency_keys WHERE merchant_id = $1 AND key = $2",
    [request.merchantId, request.key],
  );
  if (row === undefined || !row.request_hash.equals(request.requestHash)) {
    throw new InputError("idempotency_conflict", "This Idempotency-Key was used for another request");
  }
  return { status: row.status, response: row.response };
}

/** Forgets keys older than this; clients repeat a request within minutes. Answers how many it forgot. */
export async function deleteIdempotencyKeys(sql: Sql, olderThanHours: number): Promise<number> {
  const rows = await sql.query(
    "DELETE FROM idempotency_keys WHERE created_at < now() - make_interval(hours => $1) RETURNING 1",
    [olderThanHours],
  );
  return rows.length;
}
