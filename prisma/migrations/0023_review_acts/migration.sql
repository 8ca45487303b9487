-- What leads out of `held`: whose an operator key is, what operators ask for, and the audit log of all that
-- operators do. Forward only.

-- Operators -----------------------------------------------------------------------------------------------

-- Four eyes are two persons, and a person may have several keys. Small letters only: `Ann` and `ann` are one pair.
ALTER TABLE api_keys ADD COLUMN operator_name text
  CHECK (operator_name ~ '^[a-z0-9][a-z0-9._@-]{0,63}$');
ALTER TABLE api_keys ADD CHECK (operator OR operator_name IS NULL);

-- Reviews -------------------------------------------------------------------------------------------------
-- What operators asked to be done with a held deposit. It is of one inclusion: when the deposit leaves its block,
-- the generation that comes back is another one, and nobody has asked anything of that yet.

CREATE TABLE review_acts (
  deposit_id     text NOT NULL REFERENCES deposits,
  generation     integer NOT NULL,
  actor          text NOT NULL CHECK (length(actor) BETWEEN 1 AND 200),
  act            text NOT NULL CHECK (act IN ('release', 'reject')),
  note           text NOT NULL CHECK (length(note) BETWEEN 1 AND 500),
  sequence       integer NOT NULL,          -- the deposit's while it was held
  asked_at       timestamptz(3) NOT NULL DEFAULT now(),
  carried_out_at timestamptz(3),            -- NULL: a proposal
  PRIMARY KEY (deposit_id, generation, actor)
);

-- Audit log -----------------------------------------------------------------------------------------------
-- Each row holds the hash of the row before it and its own:
--
--   SHA-256 of the UTF-8 text of, each on a line of its own and without a last line break:
--   previous hash (hex), sequence, time (2026-01-31T12:00:00.000Z), actor, action, subject, detail
--
-- No field but the last can hold a line break, so two different rows never make the same text. The database itself
-- gives number, time and hashes, whoever inserts: no program, of whatever version, can add a row beside the chain.

CREATE TABLE audit_log (
  sequence      bigint PRIMARY KEY,
  at            timestamptz(3) NOT NULL,
  actor         text NOT NULL CHECK (actor ~ '^[^\n]{1,200}$'),
  action        text NOT NULL CHECK (action ~ '^[a-z]+\.[a-z_]+$'),
  subject       text NOT NULL CHECK (subject ~ '^[^\n]{1,200}$'),
  detail        text NOT NULL CHECK (detail::jsonb IS NOT NULL),   -- JSON, the exact text that is hashed
  previous_hash bytea NOT NULL CHECK (octet_length(previous_hash) = 32),
  hash          bytea NOT NULL CHECK (octet_length(hash) = 32)
);
CREATE INDEX audit_log_subject ON audit_log (subject);

-- The last row once more. Its lock makes appends take turns until each commits, so numbers have no gap; and a log
-- whose end was cut off does not fit it any more.
CREATE TABLE audit_head (
  one      boolean PRIMARY KEY DEFAULT true CHECK (one),
  sequence bigint NOT NULL,
  hash     bytea NOT NULL
);
INSERT INTO audit_head (sequence, hash) VALUES (0, decode(repeat('00', 32), 'hex'));

CREATE FUNCTION audit_append() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  SELECT h.sequence + 1, h.hash INTO STRICT NEW.sequence, NEW.previous_hash FROM audit_head h FOR UPDATE;
  -- Behind the lock, and so never earlier than the row before; the transaction's own time could be.
  NEW.at := date_trunc('milliseconds', clock_timestamp());
  NEW.hash := sha256(convert_to(concat_ws(E'\n', encode(NEW.previous_hash, 'hex'), NEW.sequence,
    to_char(NEW.at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'),
    NEW.actor, NEW.action, NEW.subject, NEW.detail), 'UTF8'));
  UPDATE audit_head SET sequence = NEW.sequence, hash = NEW.hash;
  RETURN NEW;
END $$;
-- Not in a session that replicates: there the rows come with their hashes.
CREATE TRIGGER audit_log_append BEFORE INSERT ON audit_log FOR EACH ROW EXECUTE FUNCTION audit_append();

CREATE FUNCTION audit_refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION '% on % is refused: the audit log is append-only', TG_OP, TG_TABLE_NAME
    USING ERRCODE = 'integrity_constraint_violation';
END $$;
CREATE TRIGGER audit_log_append_only BEFORE UPDATE OR DELETE ON audit_log
  FOR EACH ROW EXECUTE FUNCTION audit_refuse_change();
CREATE TRIGGER audit_log_no_truncate BEFORE TRUNCATE ON audit_log
  FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse_change();
-- In the condition of a trigger the depth is 0 as long as no trigger of ours is at work.
CREATE TRIGGER audit_head_by_append BEFORE INSERT OR UPDATE OR DELETE ON audit_head
  FOR EACH ROW WHEN (pg_trigger_depth() = 0) EXECUTE FUNCTION audit_refuse_change();
CREATE TRIGGER audit_head_no_truncate BEFORE TRUNCATE ON audit_head
  FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse_change();
ALTER TABLE audit_log ENABLE ALWAYS TRIGGER audit_log_append_only;
ALTER TABLE audit_log ENABLE ALWAYS TRIGGER audit_log_no_truncate;
ALTER TABLE audit_head ENABLE ALWAYS TRIGGER audit_head_no_truncate;
