/**
 * What must always hold of the books (DESIGN: 1 to 5 and 8), each as a query that answers the rows that break it.
 * All are asked of one snapshot of the database, so that a daemon at work beside it disturbs nothing.
 */
import type { Database } from "../db/database.ts";

export interface Rule {
  /** What breaks it is an error of this kind; tests and scripts go by it. */
  readonly name: string;
  readonly says: string;
  readonly query: string;
}

const LIVE_CREDITS = `
  SELECT e.* FROM ledger_entries e
  WHERE e.kind = 'credit' AND NOT EXISTS (SELECT FROM ledger_entries r WHERE r.reverses = e.id)`;

/**
 * Said here once more and not asked of a function in the database: who can change the log can change that as well.
 * What is hashed stands in migration 0023 and in docs/review.md.
 */
const AUDIT_HASH = `sha256(convert_to(concat_ws(E'\\n', encode(previous_hash, 'hex'), sequence,
  to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'), actor, action, subject, detail), 'UTF8'))`;

export const RULES: readonly Rule[] = [
  {
    name: "credit_without_entry",
    says: "A credited or unlocked deposit has a live credit entry of this inclusion",
    query: `SELECT d.id, d.status, d.generation FROM deposits d
      WHERE d.status IN ('credited', 'unlocked') AND NOT EXISTS (
        SELECT FROM (${LIVE_CREDITS}) e WHERE e.reference = d.id AND e.generation = d.generation)`,
  },
  {
    name: "entry_without_credit",
    says: "A live credit entry is of a deposit that is credited or unlocked, in this inclusion",
    query: `SELECT e.id, e.reference, e.generation, d.status FROM (${LIVE_CREDITS}) e
      LEFT JOIN deposits d ON d.id = e.reference
      WHERE d.status IS NULL OR d.status NOT IN ('credited', 'unlocked') OR d.generation <> e.generation`,
  },
  {
    name: "credit_of_other_amount",
    says: "A live credit is of its deposit's amount, asset and user",
    query: `SELECT d.id, d.amount::text, (-c.amount)::text AS booked FROM deposits d
      JOIN ledger_entries e ON e.reference = d.id AND e.kind = 'credit' AND e.generation = d.generation
      JOIN LATERAL (
        SELECT coalesce(sum(p.amount) FILTER (WHERE a.kind = 'custody' AND a.asset_id = d.asset_id), 0) AS amount,
          bool_or(a.kind <> 'custody' AND (a.user_id <> d.user_id OR a.merchant_id <> d.merchant_id)) AS is_others
        FROM ledger_postings p JOIN ledger_accounts a ON a.id = p.account_id WHERE p.entry_id = e.id
      ) c ON true
      WHERE d.status IN ('credited', 'unlocked') AND (c.amount <> -d.amount OR c.is_others)`,
  },
  {
    name: "unlock_out_of_step",
    says: "Only an unlocked deposit has an unlock entry, and what a credited one locked is still locked",
    query: `SELECT e.id, e.reference, d.status FROM ledger_entries e LEFT JOIN deposits d ON d.id = e.reference
      WHERE e.kind = 'unlock' AND (d.id IS NULL OR (d.status = 'credited' AND d.generation = e.generation))
      UNION ALL
      SELECT e.id, e.reference, d.status FROM deposits d
      JOIN ledger_entries e ON e.reference = d.id AND e.generation = d.generation AND e.kind = 'credit'
      WHERE d.status = 'unlocked'
        AND EXISTS (
          SELECT FROM ledger_postings p JOIN ledger_accounts a ON a.id = p.account_id
          WHERE p.entry_id = e.id AND a.kind = 'locked')
        AND NOT EXISTS (
          SELECT FROM ledger_entries u
          WHERE u.reference = d.id AND u.generation = d.generation AND u.kind = 'unlock')`,
  },
  {
    name: "debit_out_of_step",
    says: "A debit has one entry of its amount, and such an entry has its debit",
    query: `SELECT coalesce(b.id, e.reference) AS id, e.id AS entry, b.amount::text FROM debits b
      FULL JOIN (SELECT * FROM ledger_entries WHERE kind = 'debit') e ON e.reference = b.id
      LEFT JOIN LATERAL (
        SELECT sum(p.amount) AS amount FROM ledger_postings p JOIN ledger_accounts a ON a.id = p.account_id
        WHERE p.entry_id = e.id AND a.kind = 'available' AND a.user_id = b.user_id AND a.merchant_id = b.merchant_id
      ) t ON true
      WHERE b.id IS NULL OR e.id IS NULL OR t.amount IS DISTINCT FROM -b.amount`,
  },
  {
    name: "entry_unbalanced",
    says: "An entry has two postings or more that sum to zero per asset",
    query: `SELECT e.id, e.kind, e.reference, s.lines, s.unbalanced FROM ledger_entries e
      LEFT JOIN LATERAL (
        SELECT coalesce(sum(n), 0) AS lines, count(*) FILTER (WHERE total <> 0) AS unbalanced FROM (
          SELECT count(*) AS n, sum(amount) AS total FROM ledger_postings p WHERE p.entry_id = e.id GROUP BY asset_id
        ) x
      ) s ON true
      WHERE s.lines < 2 OR s.unbalanced > 0`,
  },
  {
    name: "posting_without_entry",
    says: "A posting belongs to an entry, and to an account of its asset",
    query: `SELECT p.entry_id, p.line FROM ledger_postings p
      LEFT JOIN ledger_entries e ON e.id = p.entry_id
      LEFT JOIN ledger_accounts a ON a.id = p.account_id AND a.asset_id = p.asset_id
      WHERE e.id IS NULL OR a.id IS NULL`,
  },
  {
    name: "balance_off",
    says: "A stored balance equals the sum of its postings",
    query: `SELECT a.code, a.balance::text, coalesce(s.total, 0)::text AS posted FROM ledger_accounts a
      LEFT JOIN (SELECT account_id, sum(amount) AS total FROM ledger_postings GROUP BY account_id) s
        ON s.account_id = a.id
      WHERE a.balance IS NOT NULL AND a.balance <> coalesce(s.total, 0)`,
  },
  {
    name: "reversal_astray",
    says: "A reversal names one credit of the same deposit and inclusion, and is its opposite in custody",
    query: `SELECT r.id, r.reference, r.reverses FROM ledger_entries r
      LEFT JOIN ledger_entries e ON e.id = r.reverses
      LEFT JOIN LATERAL (
        SELECT sum(p.amount) AS total FROM ledger_postings p JOIN ledger_accounts a ON a.id = p.account_id
        WHERE p.entry_id IN (r.id, e.id) AND a.kind = 'custody'
      ) s ON true
      WHERE r.kind = 'reversal' AND (e.kind IS DISTINCT FROM 'credit' OR e.reference <> r.reference
        OR e.generation <> r.generation OR s.total <> 0)
      UNION ALL
      SELECT min(r.id::text)::uuid, min(r.reference), r.reverses FROM ledger_entries r
      WHERE r.reverses IS NOT NULL GROUP BY r.reverses HAVING count(*) > 1`,
  },
  {
    name: "event_missing",
    says: "Every status change has one event, numbered without a gap",
    query: `SELECT d.id, d.sequence, count(e.id) AS events FROM deposits d LEFT JOIN events e ON e.deposit_id = d.id
      GROUP BY d.id
      HAVING count(e.id) <> d.sequence OR count(DISTINCT e.sequence) <> d.sequence
        OR min(e.sequence) <> 1 OR max(e.sequence) <> d.sequence`,
  },
  {
    name: "event_of_other_status",
    says: "The last event of a deposit tells of the status that it has",
    query: `SELECT d.id, d.status, e.type FROM deposits d
      JOIN events e ON e.deposit_id = d.id AND e.sequence = d.sequence
      WHERE e.type <> 'deposit.' || d.status`,
  },
  {
    // Which types an endpoint named when is not kept: what it got before and after, it wanted between.
    name: "delivery_missing",
    says: "An event has a delivery for each endpoint that wanted it",
    query: `WITH wanted AS (
        SELECT v.endpoint_id, e.merchant_id, e.type, min(e.id::text)::uuid AS first, max(e.id::text)::uuid AS last
        FROM deliveries v JOIN events e ON e.id = v.event_id
        GROUP BY v.endpoint_id, e.merchant_id, e.type)
      SELECT e.id, e.type, e.deposit_id, w.endpoint_id FROM wanted w
      JOIN endpoints p ON p.id = w.endpoint_id AND p.deleted_at IS NULL AND w.type = ANY (p.events)
      JOIN events e ON e.merchant_id = w.merchant_id AND e.type = w.type AND e.id > w.first AND e.id < w.last
      WHERE NOT EXISTS (
        SELECT FROM deliveries v WHERE v.event_id = e.id AND v.endpoint_id = w.endpoint_id)`,
  },
  {
    name: "custody_off",
    says: "What the ledger holds in custody equals the deposits that are credited",
    query: `SELECT s.id AS asset, s.chain_id, s.currency, held.total::text AS held, seen.total::text AS deposited
      FROM assets s
      CROSS JOIN LATERAL (
        SELECT coalesce(-sum(p.amount), 0) AS total FROM ledger_postings p JOIN ledger_accounts a ON a.id = p.account_id
        WHERE a.kind = 'custody' AND a.asset_id = s.id) held
      CROSS JOIN LATERAL (
        SELECT coalesce(sum(d.amount), 0) AS total FROM deposits d
        WHERE d.asset_id = s.id AND d.status IN ('credited', 'unlocked')) seen
      WHERE held.total <> seen.total`,
  },
  {
    // A deadline that has passed may not have been looked at yet, and a reorg may take the cursor back below it: so an
    // order that is not paid may be expired or not.
    name: "order_out_of_step",
    says: "What an order counts as paid and late, and its status, follow from the credited deposits of its address",
    query: `SELECT o.id, o.order_no, o.status, o.paid::text, o.late::text, s.paid::text AS in_time, s.late::text AS after
      FROM orders o
      JOIN (
        SELECT p.id,
          coalesce(sum(d.amount) FILTER (WHERE d.block_time <= p.expires_at), 0) AS paid,
          coalesce(sum(d.amount) FILTER (WHERE d.block_time > p.expires_at), 0) AS late
        FROM orders p LEFT JOIN deposits d
          ON d.to_address = p.address AND d.asset_id = p.asset_id AND d.status IN ('credited', 'unlocked')
        GROUP BY p.id
      ) s ON s.id = o.id
      WHERE o.paid <> s.paid OR o.late <> s.late OR o.status <> CASE
        WHEN s.paid >= o.amount AND s.paid + s.late > o.amount THEN 'overpaid'
        WHEN s.paid >= o.amount THEN 'paid'
        WHEN o.status = 'expired' THEN 'expired'
        WHEN s.paid > 0 THEN 'underpaid' ELSE 'open' END`,
  },
  {
    name: "order_untold",
    says: "Every change of an order has one event, numbered without a gap, and the last one tells of its status",
    query: `SELECT o.id, o.sequence, count(e.id) AS events FROM orders o LEFT JOIN events e ON e.order_id = o.id
      GROUP BY o.id
      HAVING count(e.id) <> o.sequence OR coalesce(min(e.sequence), 1) <> 1
        OR coalesce(max(e.sequence), 0) <> o.sequence
        OR o.status <> coalesce(
          max(e.body::jsonb #>> '{data,status}') FILTER (WHERE e.sequence = o.sequence), 'open')`,
  },
  {
    name: "waiting_out_of_step",
    says: "What waits for a credit, an unlock or a review is known as waiting for just that",
    query: `SELECT coalesce(d.id, w.deposit_id) AS id, d.status, w.status AS known_as FROM waiting_deposits w
      FULL JOIN (
        SELECT id, chain_id, status, block_number,
          CASE status WHEN 'pending' THEN credit_block WHEN 'credited' THEN unlock_block END AS due_block,
          CASE status WHEN 'pending' THEN credit_tag WHEN 'credited' THEN unlock_tag END AS due_tag
        FROM deposits WHERE status IN ('pending', 'credited', 'held')
      ) d ON d.id = w.deposit_id
      WHERE (w.chain_id, w.status, w.block_number, w.due_block, w.due_tag)
        IS DISTINCT FROM (d.chain_id, d.status, d.block_number, d.due_block, d.due_tag)`,
  },
  {
    name: "due_out_of_step",
    says: "What is due to an endpoint, and nothing else, is known as due, with no fewer attempts than it had",
    query: `SELECT coalesce(d.id, w.delivery_id) AS id, d.endpoint_id, w.endpoint_id AS known_for, w.attempt
      FROM due_deliveries w
      FULL JOIN (SELECT id, event_id, endpoint_id, attempt FROM deliveries WHERE state = 'due') d ON d.id = w.delivery_id
      WHERE (w.event_id, w.endpoint_id, w.schedule_base) IS DISTINCT FROM (d.event_id, d.endpoint_id, d.attempt)
        OR w.attempt < w.schedule_base`,
  },
  {
    name: "cursor_off_branch",
    says: "The kept block refs lead from parent to child up to the cursor",
    query: `SELECT b.chain_id, b.number FROM block_refs b
      JOIN chains c USING (chain_id)
      LEFT JOIN block_refs child ON child.chain_id = b.chain_id AND child.number = b.number + 1
      WHERE CASE WHEN b.number = c.cursor_number THEN b.hash <> c.cursor_hash
                 ELSE child.parent_hash IS DISTINCT FROM b.hash END`,
  },
  {
    name: "audit_broken",
    says: "The audit log is one chain of hashes without a gap, up to its head; the first row here is where it breaks",
    query: `SELECT sequence, action, subject, fault FROM (
        SELECT sequence, action, subject, CASE
          WHEN sequence <> lag(sequence, 1, 0::bigint) OVER log + 1 THEN 'rows before it are missing'
          WHEN previous_hash <> lag(hash, 1, decode(repeat('00', 32), 'hex')) OVER log
            THEN 'it does not follow on the row before it'
          WHEN hash <> ${AUDIT_HASH} THEN 'it is not what was written'
        END AS fault FROM audit_log WINDOW log AS (ORDER BY sequence)
        UNION ALL
        SELECT h.sequence, NULL, NULL, 'the last rows are missing, or the head is' FROM (SELECT) always
        LEFT JOIN audit_head h ON true
        LEFT JOIN (SELECT sequence, hash FROM audit_log ORDER BY sequence DESC LIMIT 1) l ON true
        WHERE h.sequence IS DISTINCT FROM coalesce(l.sequence, 0)
          OR h.hash IS DISTINCT FROM coalesce(l.hash, decode(repeat('00', 32), 'hex'))
      ) log WHERE fault IS NOT NULL ORDER BY sequence`,
  },
  {
    name: "review_unaccounted",
    says: "A deposit that was held and then credited was released, and each release and rejection is in the audit log",
    query: `SELECT h.deposit_id AS id, h.sequence, 'released' AS was FROM events h
      JOIN events c ON c.deposit_id = h.deposit_id AND c.sequence = h.sequence + 1 AND c.type = 'deposit.credited'
      WHERE h.type = 'deposit.held' AND NOT EXISTS (
        SELECT FROM review_acts r WHERE r.deposit_id = h.deposit_id AND r.sequence = h.sequence
          AND r.act = 'release' AND r.carried_out_at IS NOT NULL)
      UNION ALL
      SELECT r.deposit_id, r.sequence, r.act FROM review_acts r
      WHERE r.carried_out_at IS NOT NULL AND NOT EXISTS (
        SELECT FROM audit_log a WHERE a.subject = r.deposit_id AND a.action = 'deposit.' || r.act
          AND (a.detail::jsonb ->> 'sequence')::integer = r.sequence)`,
  },
  {
    name: "derived_astray",
    says: "A derived address is watched for its key's merchant, for an order or its own user, and its index is passed",
    query: `SELECT '0x' || encode(d.address::bytea, 'hex') AS address, k.fingerprint, d.index
      FROM derived_addresses d
      JOIN extended_keys k ON k.id = d.extended_key_id
      JOIN watched_addresses w ON w.address = d.address
      WHERE w.merchant_id <> k.merchant_id OR d.index >= k.next_index
        OR CASE WHEN d.user_id IS NULL THEN w.order_no IS NULL
                ELSE w.order_no IS NOT NULL OR w.user_id <> d.user_id END`,
  },
];

/** What breaks a rule. */
export interface Breach {
  readonly rule: string;
  readonly says: string;
  /** The first of the offending rows. */
  readonly rows: readonly Readonly<Record<string, unknown>>[];
  readonly isMore: boolean;
}

const SHOWN_ROWS = 20;

export async function checkBooks(database: Database): Promise<Breach[]> {
  return database.transaction(async (tx) => {
    await tx.query("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY");
    const breaches: Breach[] = [];
    for (const { name, says, query } of RULES) {
      const rows = await tx.query<Record<string, unknown>>(
        `SELECT * FROM (${query}) broken LIMIT ${SHOWN_ROWS + 1}`,
      );
      if (rows.length === 0) continue;
      breaches.push({
        rule: name,
        says,
        rows: rows.slice(0, SHOWN_ROWS),
        isMore: rows.length > SHOWN_ROWS,
      });
    }
    return breaches;
  });
}
