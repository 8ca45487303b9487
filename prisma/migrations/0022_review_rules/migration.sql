-- What holds a deposit back before it is credited: limits, lists of senders, a screening service.
-- Forward only.

-- Looked up in the lists beside `from_address`, which in a token transfer is whoever the money was taken from.
-- NULL: a validator's withdrawal, or a deposit that was seen before this column was there.
ALTER TABLE deposits ADD COLUMN sender evm_address;

-- What waits for an operator: never more than that, however many deposits there were.
CREATE INDEX deposits_held ON deposits (chain_id, detected_at, id) WHERE status = 'held';

-- No foreign keys below: deposits are never deleted, and an ingest need not look each of its own up again.

-- Why a deposit was held, in one inclusion: what its reason says in a word, for operators in sentences.
CREATE TABLE deposit_holds (
  deposit_id text NOT NULL,
  generation integer NOT NULL,
  reason     text NOT NULL,
  findings   text[] NOT NULL,
  held_at    timestamptz(3) NOT NULL DEFAULT now(),
  PRIMARY KEY (deposit_id, generation)
);

-- The question that the screening service is asked about a deposit, in one inclusion, and what it answered.
CREATE TABLE screenings (
  deposit_id      text NOT NULL,
  generation      integer NOT NULL,
  state           text NOT NULL DEFAULT 'due' CHECK (state IN ('due', 'approve', 'hold', 'reject', 'no_answer')),
  -- Counts up with each claim: what comes back from an older one changes nothing.
  claim           integer NOT NULL DEFAULT 0,
  -- Attempts that brought no answer. One that was cut off by the end of its process is none.
  failures        integer NOT NULL DEFAULT 0,
  next_attempt_at timestamptz NOT NULL,
  detail          text,            -- what the service said, or why the last attempt failed
  created_at      timestamptz(3) NOT NULL DEFAULT now(),
  answered_at     timestamptz(3),
  PRIMARY KEY (deposit_id, generation),
  CHECK ((state = 'due') = (answered_at IS NULL))
);
CREATE INDEX screenings_due ON screenings (next_attempt_at) WHERE state = 'due';
