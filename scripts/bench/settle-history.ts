/** The past beside which settling is measured: deposits long settled, with all that their settling wrote. */
import type { Database, Sql } from "../../src/db/database.ts";
import { CHAIN_ID, MERCHANT_ID } from "../../src/testing/factory.ts";

const BATCH = 200_000;
/** Of so many users. */
const USERS = 100_000;
const PER_BLOCK = 10;

/** They check and fold what is true by construction here, and would take minutes. */
const LEDGER_TRIGGERS = [
  ["ledger_entries", "ledger_entries_have_postings"],
  ["ledger_postings", "ledger_postings_fold"],
  ["ledger_accounts", "ledger_accounts_balance_by_postings"],
] as const;

/**
 * Writes `count` unlocked deposits with their credits and unlocks, three events each and a delivery that arrived, all of
 * it below the chain's cursor; then leaves the tables as autovacuum and a checkpoint would.
 *
 * @param say told how far it is
 */
export async function insertHistory(
  database: Database,
  assetId: number,
  count: number,
  say: (line: string) => void,
): Promise<void> {
  await database.query(
    `INSERT INTO ledger_accounts (code, kind, asset_id, merchant_id, user_id, balance)
     SELECT k || ':' || $1 || ':' || $2 || ':past ' || n, k, $1::integer, $2::text, 'past ' || n, 0
     FROM generate_series(0, $3::integer - 1) n, unnest('{locked,available}'::text[]) k`,
    [assetId, MERCHANT_ID, Math.min(USERS, count)],
  );
  await database.query(
    `INSERT INTO ledger_accounts (code, kind, asset_id) VALUES ('custody:' || $1, 'custody', $1::integer)
     ON CONFLICT DO NOTHING`,
    [assetId],
  );
  for (const [table, trigger] of LEDGER_TRIGGERS) {
    await database.query(`ALTER TABLE ${table} DISABLE TRIGGER ${trigger}`);
  }
  for (let from = 0; from < count; from += BATCH) {
    await database.transaction((tx) => insertBatch(tx, assetId, from, Math.min(from + BATCH, count)));
    say(`(c) settle: ${Math.min(from + BATCH, count)} of ${count} past deposits`);
  }
  await database.query(
    `UPDATE ledger_accounts a SET balance = s.total
     FROM (SELECT account_id, sum(amount) AS total FROM ledger_postings GROUP BY account_id) s
     WHERE a.id = s.account_id AND a.balance IS NOT NULL`,
  );
  for (const [table, trigger] of LEDGER_TRIGGERS) {
    await database.query(`ALTER TABLE ${table} ENABLE ALWAYS TRIGGER ${trigger}`);
  }
  await database.query("VACUUM ANALYZE");
  await database.query("CHECKPOINT");
}

async function insertBatch(tx: Sql, assetId: number, from: number, to: number): Promise<void> {
  await tx.query("SET LOCAL synchronous_commit = off");
  // No triggers but those that are always at work.
  await tx.query("SET LOCAL session_replication_role = replica");
  // As real ones their ids come in no order over time; each batch is written in the order of its ids, which is quicker.
  await tx.query(
    `CREATE TEMPORARY TABLE past ON COMMIT DROP AS
     SELECT 'dep_' || substr(encode(sha256(int8send(n)), 'hex'), 1, 32) AS id, 'past ' || n % ${USERS} AS user_id,
       sha256(int8send(-n)) AS hash, n / ${PER_BLOCK} AS block, now() - interval '30 days' AS at
     FROM generate_series($1::bigint, $2::bigint - 1) n ORDER BY 1`,
    [from, to],
  );
  await tx.query("ANALYZE past");
  await tx.query(
    `INSERT INTO deposits (id, chain_id, tx_hash, source, merchant_id, user_id, asset_id, amount, from_address, to_address,
       status, sequence, block_number, block_hash, block_time, credit_at, credit_block, unlock_at, unlock_block,
       detected_at, credited_at, unlocked_at)
     SELECT id, $1, hash, 'value', $2, user_id, $3, 1000000, substr(hash, 1, 20), substr(sha256(user_id::bytea), 1, 20),
       'unlocked', 3, block, hash, at, '1', block, '12', block + 11, at, at, at FROM past`,
    [CHAIN_ID, MERCHANT_ID, assetId],
  );
  await tx.query(
    `WITH entry AS MATERIALIZED (
       SELECT uuid_v7() AS id, past.id AS reference, user_id, kind FROM past, unnest('{credit,unlock}'::text[]) kind
     ), written AS (
       INSERT INTO ledger_entries (id, kind, reference, generation) SELECT id, kind, reference, 1 FROM entry
     )
     INSERT INTO ledger_postings (entry_id, line, account_id, asset_id, amount)
     SELECT e.id, l.line, a.id, $1::integer, l.amount
     FROM entry e
     JOIN (VALUES ('credit', 0, -1000000, 'custody'), ('credit', 1, 1000000, 'locked'),
       ('unlock', 0, -1000000, 'locked'), ('unlock', 1, 1000000, 'available')) AS l(kind, line, amount, account)
       ON l.kind = e.kind
     JOIN ledger_accounts a ON a.code = l.account || ':' || $1 || CASE l.account WHEN 'custody' THEN '' ELSE
       ':' || $2 || ':' || e.user_id END`,
    [assetId, MERCHANT_ID],
  );
  await tx.query(
    `WITH written AS (
       INSERT INTO events (merchant_id, type, deposit_id, sequence, block_number, block_hash, body, created_at)
       SELECT $1, 'deposit.' || status, id, sequence, block, hash, repeat('x', 900), at
       FROM past, unnest('{pending,credited,unlocked}'::text[]) WITH ORDINALITY AS s(status, sequence)
       RETURNING id, type
     )
     INSERT INTO deliveries (event_id, endpoint_id, state, attempt, finished_at)
     SELECT id, 'end_bench', 'delivered', 1, now() FROM written WHERE type = 'deposit.credited'`,
    [MERCHANT_ID],
  );
}
