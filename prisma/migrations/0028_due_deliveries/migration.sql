-- What a callback costs the database: what is due has a small table of its own, as what waits for a credit has since
-- 0027, so that a delivery's state is in no index.
-- Forward only.

-- Due deliveries ------------------------------------------------------------------------------------------
-- One row for each delivery whose state is 'due', and never more than that, however many there were. It is claimed,
-- claimed again and put off here; `deliveries` itself is written when a delivery is begun, when it ends, and when it is
-- begun again. As long as a state stands in an index of `deliveries`, or in an index's condition, each delivery that ends
-- is written into all of that table's indexes anew, which costs more than all else that is written for it.

CREATE TABLE due_deliveries (
  delivery_id     uuid PRIMARY KEY,
  event_id        uuid NOT NULL,
  attempt         integer NOT NULL,   -- attempts begun, which fence the outcome of each
  schedule_base   integer NOT NULL,   -- of them, those of earlier runs of the schedule: sent again, it begins anew
  next_attempt_at timestamptz NOT NULL,
  claimed_until   timestamptz,
  created_at      timestamptz NOT NULL,
  endpoint_id     text NOT NULL
) WITH (fillfactor = 45, vacuum_truncate = off);
-- Fill factor: each row is updated once by its claim, and then gone.
--
-- Deduplicated, the entries of deliveries that became due together would be one, which can only be marked as dead with the
-- last of them: each claim would read all that were delivered before.
CREATE INDEX due_deliveries_order ON due_deliveries (endpoint_id, next_attempt_at) WITH (deduplicate_items = off);

-- Some hundred pages that are never given back. A session keeps its plan of the claim, and plans by how large the table is
-- then: one that was made while it has no pages, as when nothing is due, would read all of it when a million are.
INSERT INTO due_deliveries SELECT uuid_v7(), uuid_v7(), 0, 0, now(), NULL, now(), 'end_0000000000000000'
FROM generate_series(1, 3000);
DELETE FROM due_deliveries;

INSERT INTO due_deliveries (delivery_id, event_id, attempt, schedule_base, next_attempt_at, claimed_until, created_at,
  endpoint_id)
SELECT id, event_id, attempt, schedule_base, next_attempt_at, claimed_until, created_at, endpoint_id
FROM deliveries WHERE state = 'due' ORDER BY id;

-- What `deliveries` keeps of it: attempts begun until it ended last. While it is due they are its schedule's base.
UPDATE deliveries SET attempt = schedule_base WHERE state = 'due' AND attempt <> schedule_base;
DROP INDEX deliveries_due, deliveries_undelivered;
ALTER TABLE deliveries DROP COLUMN schedule_base, DROP COLUMN claimed_until;
ALTER TABLE deliveries RENAME COLUMN next_attempt_at TO first_attempt_at;
-- For the index of what went wrong. It is false before a delivery and after it, so the index has nothing to change.
ALTER TABLE deliveries ADD COLUMN is_undelivered boolean NOT NULL GENERATED ALWAYS AS (state IN ('failed', 'skipped')) STORED;
CREATE INDEX deliveries_undelivered ON deliveries (endpoint_id, id) WHERE is_undelivered;
-- Its list does for its key: an id alone is looked for among the endpoints of a merchant.
ALTER TABLE deliveries DROP CONSTRAINT deliveries_pkey;
ALTER TABLE deliveries ADD PRIMARY KEY (endpoint_id, id);
DROP INDEX deliveries_list;

-- Whoever writes a delivery makes it due. Who ends it, or begins it again, writes both tables: `verify` compares them.
CREATE OR REPLACE FUNCTION deliveries_name_what_exists() RETURNS trigger LANGUAGE plpgsql
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
  INSERT INTO due_deliveries (delivery_id, event_id, attempt, schedule_base, next_attempt_at, created_at, endpoint_id)
  SELECT id, event_id, attempt, attempt, first_attempt_at, created_at, endpoint_id FROM inserted WHERE state = 'due';
  RETURN NULL;
END $$;

-- What may not change, checked once for a statement that names it: as long as a table has a trigger before the update of
-- a row, each row is locked for it, whichever columns are written.

DROP TRIGGER deliveries_same_names ON deliveries;
CREATE TRIGGER deliveries_same_names BEFORE UPDATE OF event_id, endpoint_id ON deliveries
  FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
DROP TRIGGER deposits_same_id ON deposits;
CREATE TRIGGER deposits_same_id BEFORE UPDATE OF id ON deposits FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
