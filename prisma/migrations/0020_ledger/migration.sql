-- The ledger, further: debits, suspense, receivables that later money repays first; and the same guarantees at a
-- fraction of the cost, because each is checked once for a statement and no longer once for each row.
-- Forward only.

-- Identifiers ---------------------------------------------------------------------------------------------

-- PostgreSQL 18 has them built in, at a tenth of the cost.
DO $$
BEGIN
  IF current_setting('server_version_num')::integer >= 180000 THEN
    CREATE OR REPLACE FUNCTION uuid_v7() RETURNS uuid LANGUAGE sql VOLATILE PARALLEL SAFE AS 'SELECT uuidv7()';
  END IF;
END $$;

-- Debits --------------------------------------------------------------------------------------------------
-- What a merchant took from what a user has available. The key makes a repeat harmless, for good: the answers
-- kept under an Idempotency-Key live for days, these rows as long as the ledger.

CREATE TABLE debits (
  id          text PRIMARY KEY,          -- derived from (merchant, key)
  merchant_id text NOT NULL REFERENCES merchants,
  user_id     text NOT NULL,
  asset_id    integer NOT NULL REFERENCES assets,
  amount      uint256 NOT NULL CHECK (amount > 0),
  key         text NOT NULL CHECK (length(key) BETWEEN 1 AND 255),
  note        text CHECK (length(note) <= 500),
  created_at  timestamptz(3) NOT NULL DEFAULT now(),
  UNIQUE (merchant_id, key)
);
CREATE INDEX debits_user ON debits (merchant_id, user_id, created_at);

ALTER TABLE ledger_entries DROP CONSTRAINT ledger_entries_kind_check;
ALTER TABLE ledger_entries ADD CONSTRAINT ledger_entries_kind_check
  CHECK (kind IN ('credit', 'unlock', 'reversal', 'debit'));

-- Reversals are few: their index need not hold every other entry.
ALTER TABLE ledger_entries DROP CONSTRAINT ledger_entries_reverses_key;
CREATE UNIQUE INDEX ledger_entries_reverses_key ON ledger_entries (reverses) WHERE reverses IS NOT NULL;

-- Who ever owed something is looked for with each credit and unlock.
CREATE INDEX ledger_accounts_receivables ON ledger_accounts (code) WHERE kind = 'receivable';

-- Reversals -----------------------------------------------------------------------------------------------

-- Of a reversed deposit: what the user no longer had, and owes since.
ALTER TABLE deposits ADD COLUMN shortfall uint256;
ALTER TABLE deposits ADD CHECK (shortfall IS NULL OR (status = 'reversed' AND shortfall <= amount));

-- Checked per statement -----------------------------------------------------------------------------------
-- An entry comes with its postings in one statement. When it ends, each of its entries has postings; and the
-- postings that a statement inserts are two or more for each entry and sum to zero per asset, belong to entries of
-- this transaction, and to accounts of their asset. What holds after every statement holds at every commit.
-- Entries and accounts can never be deleted, nor change what postings refer to, so what was checked once stays
-- true: foreign keys would only check it again, at 5 microseconds each.
--
-- The plans of these functions are made once for a session, when its tables may still be empty: they are told to
-- go by index, which is right at every size.

DROP TRIGGER ledger_entries_balanced ON ledger_entries;
DROP FUNCTION ledger_entry_is_balanced();
CREATE FUNCTION ledger_entries_have_postings() RETURNS trigger LANGUAGE plpgsql
  SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $$
DECLARE
  bare uuid;
BEGIN
  SELECT e.id INTO bare FROM inserted e
    WHERE NOT EXISTS (SELECT FROM ledger_postings p WHERE p.entry_id = e.id) LIMIT 1;
  IF FOUND THEN
    RAISE EXCEPTION 'ledger entry % has no postings', bare USING ERRCODE = 'integrity_constraint_violation';
  END IF;
  RETURN NULL;
END $$;
CREATE TRIGGER ledger_entries_have_postings AFTER INSERT ON ledger_entries
  REFERENCING NEW TABLE AS inserted FOR EACH STATEMENT EXECUTE FUNCTION ledger_entries_have_postings();
ALTER TABLE ledger_entries ENABLE ALWAYS TRIGGER ledger_entries_have_postings;

CREATE OR REPLACE FUNCTION ledger_fold_postings() RETURNS trigger LANGUAGE plpgsql
  SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $$
DECLARE
  fault record;
BEGIN
  SELECT entry_id, sum(lines) AS lines, count(*) FILTER (WHERE total <> 0) AS unbalanced INTO fault
  FROM (SELECT entry_id, asset_id, count(*) AS lines, sum(amount) AS total FROM inserted GROUP BY entry_id, asset_id) s
  GROUP BY entry_id HAVING sum(lines) < 2 OR count(*) FILTER (WHERE total <> 0) > 0
  LIMIT 1;
  IF FOUND THEN
    RAISE EXCEPTION 'ledger entry % has % postings, and % assets that do not sum to zero',
      fault.entry_id, fault.lines, fault.unbalanced USING ERRCODE = 'integrity_constraint_violation';
  END IF;

  IF EXISTS (
    SELECT FROM (SELECT DISTINCT entry_id FROM inserted) i LEFT JOIN ledger_entries e ON e.id = i.entry_id
    WHERE e.xid IS DISTINCT FROM pg_current_xact_id()
  ) THEN
    RAISE EXCEPTION 'postings can only be added in the transaction of their entry'
      USING ERRCODE = 'integrity_constraint_violation';
  END IF;
  IF EXISTS (
    SELECT FROM (SELECT DISTINCT account_id, asset_id FROM inserted) i
    LEFT JOIN ledger_accounts a ON a.id = i.account_id AND a.asset_id = i.asset_id
    WHERE a.id IS NULL
  ) THEN
    RAISE EXCEPTION 'a posting names an account that is not there, or is of another asset'
      USING ERRCODE = 'foreign_key_violation';
  END IF;

  -- Locked in the order of their ids, so that two inserts can never wait for each other.
  PERFORM 1 FROM ledger_accounts
    WHERE id IN (SELECT account_id FROM inserted) AND balance IS NOT NULL
    ORDER BY id FOR NO KEY UPDATE;

  UPDATE ledger_accounts a SET balance = a.balance + s.total
  FROM (SELECT account_id, sum(amount) AS total FROM inserted GROUP BY account_id) s
  WHERE a.id = s.account_id AND a.balance IS NOT NULL;
  RETURN NULL;
END $$;

ALTER TABLE ledger_postings DROP CONSTRAINT ledger_postings_entry_id_fkey;
ALTER TABLE ledger_postings DROP CONSTRAINT ledger_postings_account_id_asset_id_fkey;

-- Accounts ------------------------------------------------------------------------------------------------
-- In the condition of a trigger, as long as no trigger of ours is at work, the depth is 0.

DROP TRIGGER ledger_accounts_balance_by_postings ON ledger_accounts;
DROP FUNCTION ledger_refuse_balance_change();
CREATE FUNCTION ledger_refuse_account_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'a balance changes only by postings, and what an account is never changes'
    USING ERRCODE = 'integrity_constraint_violation';
END $$;
CREATE TRIGGER ledger_accounts_balance_by_postings BEFORE UPDATE ON ledger_accounts
  FOR EACH ROW WHEN (pg_trigger_depth() = 0) EXECUTE FUNCTION ledger_refuse_account_change();
ALTER TABLE ledger_accounts ENABLE ALWAYS TRIGGER ledger_accounts_balance_by_postings;
CREATE TRIGGER ledger_accounts_no_truncate BEFORE TRUNCATE ON ledger_accounts
  FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse_change();
ALTER TABLE ledger_accounts ENABLE ALWAYS TRIGGER ledger_accounts_no_truncate;
CREATE TRIGGER ledger_accounts_begin_empty BEFORE INSERT ON ledger_accounts
  FOR EACH ROW WHEN (NEW.balance <> 0) EXECUTE FUNCTION ledger_refuse_account_change();
ALTER TABLE ledger_accounts ENABLE ALWAYS TRIGGER ledger_accounts_begin_empty;
