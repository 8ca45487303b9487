/** What must always hold of the books, asked of the database itself, whatever happened to the daemon before. */
import { expect } from "vitest";
import type { Sql } from "../db/database.ts";

/** Each answers the rows that break its rule. */
const RULES: Readonly<Record<string, string>> = {
  "a credited or unlocked deposit has exactly one live credit entry, any other has none": `
    SELECT d.id, d.status, count(e.id) AS live_entries
    FROM deposits d
    LEFT JOIN ledger_entries e ON e.reference = d.id AND e.kind = 'credit'
      AND NOT EXISTS (SELECT FROM ledger_entries r WHERE r.reverses = e.id)
    GROUP BY d.id
    HAVING count(e.id) <> CASE WHEN d.status IN ('credited', 'unlocked') THEN 1 ELSE 0 END`,
  "an entry is for a deposit that there is": `
    SELECT e.id FROM ledger_entries e WHERE NOT EXISTS (SELECT FROM deposits d WHERE d.id = e.reference)`,
  "a live credit is of the deposit's amount and user": `
    SELECT d.id, d.amount::text, p.amount::text AS posted FROM deposits d
    JOIN ledger_entries e ON e.reference = d.id AND e.kind = 'credit' AND e.generation = d.generation
    JOIN ledger_postings p ON p.entry_id = e.id
    JOIN ledger_accounts a ON a.id = p.account_id AND a.kind <> 'custody'
    WHERE d.status IN ('credited', 'unlocked')
      AND (p.amount <> d.amount OR a.user_id <> d.user_id OR a.asset_id <> d.asset_id)`,
  "an entry has two postings or more and sums to zero per asset": `
    SELECT e.id FROM ledger_entries e LEFT JOIN ledger_postings p ON p.entry_id = e.id
    GROUP BY e.id, p.asset_id HAVING count(p.line) < 2 OR sum(p.amount) <> 0`,
  "a stored balance equals the sum of its postings": `
    SELECT a.code, a.balance::text, coalesce(sum(p.amount), 0)::text AS posted
    FROM ledger_accounts a LEFT JOIN ledger_postings p ON p.account_id = a.id
    WHERE a.balance IS NOT NULL
    GROUP BY a.id HAVING a.balance <> coalesce(sum(p.amount), 0)`,
  "every status change has one event, numbered without a gap": `
    SELECT d.id, d.sequence, array_agg(e.sequence ORDER BY e.sequence) AS events
    FROM deposits d LEFT JOIN events e ON e.deposit_id = d.id
    GROUP BY d.id
    HAVING array_agg(e.sequence ORDER BY e.sequence) IS DISTINCT FROM
      (SELECT array_agg(n ORDER BY n) FROM generate_series(1, d.sequence) AS n)`,
  "the last event tells of the status that the deposit has": `
    SELECT d.id, d.status, e.type FROM deposits d
    JOIN events e ON e.deposit_id = d.id AND e.sequence = d.sequence
    WHERE e.type <> 'deposit.' || d.status`,
  "an event has one delivery for each endpoint that wants it": `
    SELECT e.id, e.type FROM events e
    JOIN endpoints p ON p.merchant_id = e.merchant_id AND p.created_at < e.created_at AND e.type = ANY (p.events)
    WHERE NOT EXISTS (SELECT FROM deliveries v WHERE v.event_id = e.id AND v.endpoint_id = p.id)`,
  "the kept block refs lead from parent to child up to the cursor": `
    SELECT b.chain_id, b.number FROM block_refs b
    JOIN chains c USING (chain_id)
    LEFT JOIN block_refs child ON child.chain_id = b.chain_id AND child.number = b.number + 1
    WHERE CASE WHEN b.number = c.cursor_number THEN b.hash <> c.cursor_hash
               ELSE child.parent_hash IS DISTINCT FROM b.hash END`,
};

export async function expectBooksToHold(database: Sql): Promise<void> {
  const broken: Record<string, object[]> = {};
  for (const [rule, query] of Object.entries(RULES)) {
    const rows = await database.query<object>(query);
    if (rows.length > 0) broken[rule] = rows.slice(0, 5);
  }
  expect(broken).toEqual({});
}
