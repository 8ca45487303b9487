-- The same facts and the same guarantees for less work: what settling looks for has a small table of its own, so that
-- a deposit's status is in no index, and the ledger folds postings in one pass.
-- Forward only.

-- Waiting deposits ----------------------------------------------------------------------------------------
-- Those that wait for their credit, their unlock or a review: never more than that, however many there were. As
-- long as a status stands in an index of `deposits`, or in an index's condition, each change of status writes the row
-- into all of that table's indexes anew, which costs more than all else that the change writes. No index of `deposits`
-- may therefore speak of a column that a change of status changes.
--
-- A trigger keeps this table, whoever changes a deposit. Which deposits are due is decided by their own rows, locked:
-- this table only says where to look.

CREATE TABLE waiting_deposits (
  deposit_id   text PRIMARY KEY,
  chain_id     bigint NOT NULL,
  status       text NOT NULL CHECK (status IN ('pending', 'credited', 'held')),
  block_number bigint NOT NULL,
  -- Of the threshold that comes next. Both NULL: a review.
  due_block    bigint,
  due_tag      text,
  detected_at  timestamptz(3) NOT NULL
) WITH (fillfactor = 80);
CREATE INDEX waiting_deposits_by_depth ON waiting_deposits (chain_id, status, due_block) WHERE due_tag IS NULL;
CREATE INDEX waiting_deposits_by_tag ON waiting_deposits (chain_id, status, due_tag, block_number)
  WHERE due_tag IS NOT NULL;
CREATE INDEX waiting_deposits_held ON waiting_deposits (detected_at, deposit_id) WHERE status = 'held';

-- EXECUTE: planned at each call, by the sizes that the tables have then. A plan that a session keeps may have been made
-- when they were empty.
CREATE FUNCTION deposits_keep_waiting() RETURNS trigger LANGUAGE plpgsql
  SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $$
BEGIN
  EXECUTE $merge$MERGE INTO waiting_deposits w USING (
    SELECT id, chain_id, status, block_number, detected_at,
      CASE status WHEN 'pending' THEN credit_block WHEN 'credited' THEN unlock_block END AS due_block,
      CASE status WHEN 'pending' THEN credit_tag WHEN 'credited' THEN unlock_tag END AS due_tag
    FROM changed
  ) d ON w.deposit_id = d.id
  WHEN MATCHED AND d.status NOT IN ('pending', 'credited', 'held') THEN DELETE
  WHEN MATCHED THEN UPDATE SET status = d.status, block_number = d.block_number, due_block = d.due_block,
    due_tag = d.due_tag
  WHEN NOT MATCHED AND d.status IN ('pending', 'credited', 'held') THEN
    INSERT (deposit_id, chain_id, status, block_number, due_block, due_tag, detected_at)
    VALUES (d.id, d.chain_id, d.status, d.block_number, d.due_block, d.due_tag, d.detected_at)$merge$;
  RETURN NULL;
END $$;
CREATE TRIGGER deposits_inserted_keep_waiting AFTER INSERT ON deposits
  REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION deposits_keep_waiting();
CREATE TRIGGER deposits_updated_keep_waiting AFTER UPDATE ON deposits
  REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION deposits_keep_waiting();

INSERT INTO waiting_deposits (deposit_id, chain_id, status, block_number, due_block, due_tag, detected_at)
SELECT id, chain_id, status, block_number,
  CASE status WHEN 'pending' THEN credit_block WHEN 'credited' THEN unlock_block END,
  CASE status WHEN 'pending' THEN credit_tag WHEN 'credited' THEN unlock_tag END, detected_at
FROM deposits WHERE status IN ('pending', 'credited', 'held');

DROP INDEX deposits_credit_by_depth, deposits_credit_by_tag, deposits_unlock_by_depth, deposits_unlock_by_tag;
DROP INDEX IF EXISTS deposits_held;
-- One that left its block unmeasured stays in it until it is included again: few, and passed over.
DROP INDEX deposits_to_measure;
CREATE INDEX deposits_to_measure ON deposits (chain_id, measure_at) WHERE measure_at IS NOT NULL;

-- Room in each page for its rows' next versions: a row is changed twice, and then never again.
ALTER TABLE deposits SET (fillfactor = 50);

-- Ledger --------------------------------------------------------------------------------------------------
-- The checks of 0020, each of them as before, in two statements instead of five: what is known of an entry is looked up
-- once; and balances are locked by their update itself, in the order of the accounts' ids.

CREATE OR REPLACE FUNCTION ledger_fold_postings() RETURNS trigger LANGUAGE plpgsql
  SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $$
DECLARE
  fault record;
  strays bigint;
BEGIN
  SELECT s.entry_id, s.lines, s.unbalanced INTO fault
  FROM (
    SELECT entry_id, sum(lines) AS lines, count(*) FILTER (WHERE total <> 0) AS unbalanced
    FROM (SELECT entry_id, asset_id, count(*) AS lines, sum(amount) AS total FROM inserted GROUP BY entry_id, asset_id) a
    GROUP BY entry_id
  ) s LEFT JOIN ledger_entries e ON e.id = s.entry_id
  WHERE s.lines < 2 OR s.unbalanced > 0 OR e.xid IS DISTINCT FROM pg_current_xact_id()
  LIMIT 1;
  IF FOUND THEN
    IF fault.lines < 2 OR fault.unbalanced > 0 THEN
      RAISE EXCEPTION 'ledger entry % has % postings, and % assets that do not sum to zero',
        fault.entry_id, fault.lines, fault.unbalanced USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RAISE EXCEPTION 'postings can only be added in the transaction of their entry'
      USING ERRCODE = 'integrity_constraint_violation';
  END IF;

  -- An account of another asset than the posting's is none. The system's own keep no balance.
  EXECUTE $fold$
    WITH totals AS MATERIALIZED (
      SELECT account_id, asset_id, sum(amount) AS total FROM inserted GROUP BY account_id, asset_id ORDER BY account_id
    ), folded AS (
      UPDATE ledger_accounts a SET balance = a.balance + t.total FROM totals t
      WHERE a.id = t.account_id AND a.asset_id = t.asset_id AND a.balance IS NOT NULL
      RETURNING 1
    )
    SELECT (SELECT count(*) FROM totals) - (SELECT count(*) FROM folded) - (
      SELECT count(*) FROM totals t JOIN ledger_accounts a ON a.id = t.account_id AND a.asset_id = t.asset_id
      WHERE a.balance IS NULL)
  $fold$ INTO strays;
  IF strays <> 0 THEN
    RAISE EXCEPTION 'a posting names an account that is not there, or is of another asset'
      USING ERRCODE = 'foreign_key_violation';
  END IF;
  RETURN NULL;
END $$;

-- Events and deliveries -----------------------------------------------------------------------------------
-- What their foreign keys said, checked once for a statement: a foreign key looks up the one merchant and the one
-- endpoint of a thousand rows a thousand times, and writes a lock into it each time. What was checked stays true, because
-- nothing that is named can be deleted, and no name changes.

CREATE FUNCTION events_name_what_exists() RETURNS trigger LANGUAGE plpgsql
  SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $$
BEGIN
  -- Locked as a foreign key does: a deletion beside us waits, and then finds what we wrote.
  PERFORM FROM merchants WHERE id IN (SELECT merchant_id FROM inserted) FOR KEY SHARE;
  IF EXISTS (
    SELECT FROM (SELECT DISTINCT merchant_id FROM inserted) i
    WHERE NOT EXISTS (SELECT FROM merchants m WHERE m.id = i.merchant_id)
  ) OR EXISTS (
    SELECT FROM inserted i
    WHERE i.deposit_id IS NOT NULL AND NOT EXISTS (SELECT FROM deposits d WHERE d.id = i.deposit_id)
  ) THEN
    RAISE EXCEPTION 'an event names a merchant or a deposit that is not there' USING ERRCODE = 'foreign_key_violation';
  END IF;
  RETURN NULL;
END $$;
CREATE TRIGGER events_name_what_exists AFTER INSERT ON events
  REFERENCING NEW TABLE AS inserted FOR EACH STATEMENT EXECUTE FUNCTION events_name_what_exists();

-- An event and its deliveries are written in one transaction, in which nobody else can delete it.
CREATE FUNCTION deliveries_name_what_exists() RETURNS trigger LANGUAGE plpgsql
  SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $$
BEGIN
  PERFORM FROM endpoints WHERE id IN (SELECT endpoint_id FROM inserted) FOR KEY SHARE;
  IF EXISTS (
    SELECT FROM (SELECT DISTINCT endpoint_id FROM inserted) i
    WHERE NOT EXISTS (SELECT FROM endpoints p WHERE p.id = i.endpoint_id)
  ) OR EXISTS (
    SELECT FROM inserted i WHERE NOT EXISTS (SELECT FROM events e WHERE e.id = i.event_id)
  ) THEN
    RAISE EXCEPTION 'a delivery names an event or an endpoint that is not there'
      USING ERRCODE = 'foreign_key_violation';
  END IF;
  RETURN NULL;
END $$;
CREATE TRIGGER deliveries_name_what_exists AFTER INSERT ON deliveries
  REFERENCING NEW TABLE AS inserted FOR EACH STATEMENT EXECUTE FUNCTION deliveries_name_what_exists();

CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION '% of % is refused: other rows name it, or it names others for good', TG_OP, TG_TABLE_NAME
    USING ERRCODE = 'integrity_constraint_violation';
END $$;
-- Arguments: which table names the row, in which column.
CREATE FUNCTION refuse_delete_if_named() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  is_named boolean;
BEGIN
  EXECUTE format('SELECT EXISTS (SELECT FROM %I WHERE %I = $1)', TG_ARGV[0], TG_ARGV[1]) INTO is_named USING OLD.id;
  IF is_named THEN
    RAISE EXCEPTION '% of % % is refused: % names it', TG_OP, TG_TABLE_NAME, OLD.id, TG_ARGV[0]
      USING ERRCODE = 'foreign_key_violation';
  END IF;
  RETURN OLD;
END $$;

CREATE TRIGGER deposits_no_delete BEFORE DELETE ON deposits FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER deposits_no_truncate BEFORE TRUNCATE ON deposits FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER deposits_same_id BEFORE UPDATE OF id ON deposits FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER merchants_named BEFORE DELETE ON merchants
  FOR EACH ROW EXECUTE FUNCTION refuse_delete_if_named('events', 'merchant_id');
CREATE TRIGGER merchants_same_id BEFORE UPDATE OF id ON merchants FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER endpoints_named BEFORE DELETE ON endpoints
  FOR EACH ROW EXECUTE FUNCTION refuse_delete_if_named('deliveries', 'endpoint_id');
CREATE TRIGGER endpoints_same_id BEFORE UPDATE OF id ON endpoints FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER events_named BEFORE DELETE ON events
  FOR EACH ROW EXECUTE FUNCTION refuse_delete_if_named('deliveries', 'event_id');
CREATE TRIGGER events_same_names BEFORE UPDATE OF id, merchant_id, deposit_id ON events
  FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER deliveries_same_names BEFORE UPDATE OF event_id, endpoint_id ON deliveries
  FOR EACH ROW EXECUTE FUNCTION refuse_change();

ALTER TABLE events DROP CONSTRAINT events_merchant_id_fkey;
ALTER TABLE events DROP CONSTRAINT events_deposit_id_fkey;
ALTER TABLE deliveries DROP CONSTRAINT deliveries_event_id_fkey;
ALTER TABLE deliveries DROP CONSTRAINT deliveries_endpoint_id_fkey;
