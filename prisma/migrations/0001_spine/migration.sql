-- The spine: chains and their blocks, watched addresses, deposits, the ledger, events and their deliveries.
-- Forward only. Needs PostgreSQL 15 or later (NULLS NOT DISTINCT).

-- Words ---------------------------------------------------------------------------------------------------

CREATE DOMAIN evm_address AS bytea CHECK (octet_length(VALUE) = 20);
CREATE DOMAIN evm_hash AS bytea CHECK (octet_length(VALUE) = 32);

-- numeric(78,0) alone takes NaN and goes beyond 2^256-1.
CREATE DOMAIN uint256 AS numeric(78, 0)
  CHECK (VALUE >= 0 AND VALUE <= 115792089237316195423570985008687907853269984665640564039457584007913129639935);

-- Time-ordered identifiers (RFC 9562, version 7), for tables that only ever grow at their end.
CREATE FUNCTION uuid_v7() RETURNS uuid LANGUAGE sql VOLATILE PARALLEL SAFE AS $$
  SELECT encode(
    set_bit(set_bit(
      overlay(uuid_send(gen_random_uuid())
        PLACING substring(int8send((extract(epoch FROM clock_timestamp()) * 1000)::bigint) FROM 3) FROM 1 FOR 6),
      52, 1), 53, 1), 'hex')::uuid
$$;

-- Tenants -------------------------------------------------------------------------------------------------

CREATE TABLE merchants (
  id         text PRIMARY KEY,
  name       text NOT NULL UNIQUE CHECK (length(name) BETWEEN 1 AND 200),
  created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE api_keys (
  id          text PRIMARY KEY,
  merchant_id text NOT NULL REFERENCES merchants,
  operator    boolean NOT NULL DEFAULT false,
  secret_hash bytea NOT NULL CHECK (octet_length(secret_hash) = 32),  -- SHA-256 of the key's random part
  created_at  timestamptz NOT NULL DEFAULT now(),
  revoked_at  timestamptz
);

CREATE TABLE idempotency_keys (
  merchant_id   text NOT NULL REFERENCES merchants,
  key           text NOT NULL CHECK (length(key) BETWEEN 1 AND 255),
  request_hash  bytea NOT NULL CHECK (octet_length(request_hash) = 32),
  status        smallint,        -- NULL while the first request is still being answered
  response      jsonb,
  created_at    timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (merchant_id, key)
);
CREATE INDEX idempotency_keys_age ON idempotency_keys (created_at);

-- Chains --------------------------------------------------------------------------------------------------

CREATE TABLE chains (
  chain_id         bigint PRIMARY KEY CHECK (chain_id > 0),
  name             text NOT NULL,
  state            text NOT NULL DEFAULT 'following' CHECK (state IN ('following', 'halted')),
  state_reason     text,
  -- The last block whose ingest is committed. NULL until the first one.
  cursor_number    bigint,
  cursor_hash      evm_hash,
  cursor_time      timestamptz,
  cursor_at        timestamptz,   -- when that commit was made
  -- What the nodes said last.
  head_number      bigint,
  head_at          timestamptz,
  safe_number      bigint,
  finalized_number bigint,
  -- The right to follow: a holder, until when, and a token that rises with each new holder.
  lease_holder     text,
  lease_until      timestamptz,
  lease_token      bigint NOT NULL DEFAULT 0,
  CHECK ((cursor_number IS NULL) = (cursor_hash IS NULL)),
  CHECK ((state = 'halted') = (state_reason IS NOT NULL))
);

CREATE TABLE block_refs (
  chain_id    bigint NOT NULL REFERENCES chains,
  number      bigint NOT NULL,
  hash        evm_hash NOT NULL,
  parent_hash evm_hash NOT NULL,
  block_time  timestamptz NOT NULL,
  PRIMARY KEY (chain_id, number)
);

CREATE TABLE assets (
  id         integer PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
  chain_id   bigint NOT NULL REFERENCES chains,
  token      evm_address,         -- NULL: the native coin
  currency   text NOT NULL,
  decimals   smallint NOT NULL CHECK (decimals BETWEEN 0 AND 77),
  created_at timestamptz NOT NULL DEFAULT now(),
  UNIQUE NULLS NOT DISTINCT (chain_id, token)
);

-- Watched addresses ---------------------------------------------------------------------------------------

CREATE TABLE watched_addresses (
  address     evm_address PRIMARY KEY,
  merchant_id text NOT NULL REFERENCES merchants,
  user_id     text NOT NULL CHECK (length(user_id) BETWEEN 1 AND 200),
  -- In which order they were registered: what a follower has not looked at yet is above the last it has seen.
  number      bigint NOT NULL GENERATED ALWAYS AS IDENTITY UNIQUE,
  created_at  timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX watched_addresses_user ON watched_addresses (merchant_id, user_id);

-- An empty table that only serves as a gate. A registration takes it IN ROW EXCLUSIVE MODE, an ingest IN SHARE
-- MODE from its last look at new addresses until it commits. Registrations do not wait for each other, nor do
-- ingests. But no registration can commit between an ingest's last look and its commit, so none is overlooked.
-- (Locking watched_addresses itself would also wait for its vacuum.)
CREATE TABLE registration_gate ();

-- Deposits ------------------------------------------------------------------------------------------------

CREATE TABLE deposits (
  id           text PRIMARY KEY,   -- derived from (chain_id, tx_hash, source)
  chain_id     bigint NOT NULL REFERENCES chains,
  tx_hash      evm_hash,           -- NULL: a validator's withdrawal
  source       text NOT NULL,
  merchant_id  text NOT NULL REFERENCES merchants,
  user_id      text NOT NULL,
  asset_id     integer REFERENCES assets,   -- NULL: the token is not listed
  token        evm_address,                 -- NULL: the native coin
  amount       uint256 NOT NULL CHECK (amount > 0),
  from_address evm_address NOT NULL,
  to_address   evm_address NOT NULL,
  status       text NOT NULL CHECK (status IN
    ('pending', 'credited', 'unlocked', 'held', 'rejected', 'ignored', 'orphaned', 'reversed')),
  reason       text,
  sequence     integer NOT NULL DEFAULT 1,
  generation   integer NOT NULL DEFAULT 1,
  block_number bigint NOT NULL,
  block_hash   evm_hash NOT NULL,
  block_time   timestamptz NOT NULL,
  -- Each threshold: the text people read, the cursor that meets its depth, the tag it waits for.
  credit_at    text,
  credit_block bigint,
  credit_tag   text CHECK (credit_tag IN ('safe', 'finalized')),
  unlock_at    text,
  unlock_block bigint,
  unlock_tag   text CHECK (unlock_tag IN ('safe', 'finalized')),
  detected_at  timestamptz(3) NOT NULL DEFAULT now(),
  credited_at  timestamptz(3),
  unlocked_at  timestamptz(3),
  UNIQUE NULLS NOT DISTINCT (tx_hash, source, chain_id),
  CHECK (status <> 'pending' OR credit_block IS NOT NULL OR credit_tag IS NOT NULL),
  CHECK (status NOT IN ('pending', 'credited', 'unlocked', 'held') OR asset_id IS NOT NULL),
  CHECK ((status IN ('credited', 'unlocked')) <= (credited_at IS NOT NULL))
) WITH (fillfactor = 85);

-- What settling looks for. All four hold live deposits only, so they never grow with history.
CREATE INDEX deposits_credit_by_depth ON deposits (chain_id, credit_block)
  WHERE status = 'pending' AND credit_tag IS NULL;
CREATE INDEX deposits_credit_by_tag ON deposits (chain_id, credit_tag, block_number)
  WHERE status = 'pending' AND credit_tag IS NOT NULL;
CREATE INDEX deposits_unlock_by_depth ON deposits (chain_id, unlock_block)
  WHERE status = 'credited' AND unlock_tag IS NULL;
CREATE INDEX deposits_unlock_by_tag ON deposits (chain_id, unlock_tag, block_number)
  WHERE status = 'credited' AND unlock_tag IS NOT NULL;

CREATE INDEX deposits_block ON deposits (chain_id, block_number);
CREATE INDEX deposits_to ON deposits (to_address);
CREATE INDEX deposits_list ON deposits (merchant_id, detected_at, id);
CREATE INDEX deposits_user ON deposits (merchant_id, user_id, detected_at, id);

-- Ledger --------------------------------------------------------------------------------------------------
-- Amounts are signed from the side of those we owe: positive is a credit, negative a debit. The postings of an
-- entry sum to zero per asset. A user's balance is the sum of the postings on it, custody's is what we hold,
-- with the sign turned.

CREATE TABLE ledger_accounts (
  id          bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
  code        text NOT NULL UNIQUE,    -- kind:asset or kind:asset:merchant:user
  kind        text NOT NULL CHECK (kind IN ('custody', 'suspense', 'locked', 'available', 'receivable')),
  asset_id    integer NOT NULL REFERENCES assets,
  merchant_id text REFERENCES merchants,
  user_id     text,
  -- NULL on the system's own accounts: every entry touches them, so a stored balance would be one hot row.
  balance     numeric,
  created_at  timestamptz NOT NULL DEFAULT now(),
  UNIQUE (id, asset_id),
  CHECK ((kind IN ('custody', 'suspense')) = (balance IS NULL)),
  CHECK ((kind IN ('custody', 'suspense')) = (merchant_id IS NULL)),
  CHECK ((merchant_id IS NULL) = (user_id IS NULL)),
  CONSTRAINT ledger_accounts_no_overdraft CHECK (kind NOT IN ('locked', 'available') OR balance >= 0),
  CONSTRAINT ledger_accounts_receivable CHECK (kind <> 'receivable' OR balance <= 0)
) WITH (fillfactor = 80);
CREATE INDEX ledger_accounts_user ON ledger_accounts (merchant_id, user_id);

CREATE TABLE ledger_entries (
  id         uuid PRIMARY KEY DEFAULT uuid_v7(),
  kind       text NOT NULL CHECK (kind IN ('credit', 'unlock', 'reversal')),
  reference  text NOT NULL,            -- what it is for: a deposit's id
  generation integer NOT NULL,         -- which inclusion of it
  reverses   uuid UNIQUE REFERENCES ledger_entries,
  xid        xid8 NOT NULL DEFAULT pg_current_xact_id(),
  created_at timestamptz NOT NULL DEFAULT now(),
  UNIQUE (reference, generation, kind),
  CHECK ((kind = 'reversal') = (reverses IS NOT NULL))
);

CREATE TABLE ledger_postings (
  entry_id   uuid NOT NULL REFERENCES ledger_entries,
  line       smallint NOT NULL,
  account_id bigint NOT NULL,
  asset_id   integer NOT NULL,
  amount     numeric NOT NULL CHECK (amount <> 0 AND amount = trunc(amount) AND abs(amount) <=
    115792089237316195423570985008687907853269984665640564039457584007913129639935),
  PRIMARY KEY (entry_id, line),
  FOREIGN KEY (account_id, asset_id) REFERENCES ledger_accounts (id, asset_id)
);
CREATE INDEX ledger_postings_account ON ledger_postings (account_id);

-- Every entry has two postings or more, and they sum to zero per asset, when the transaction commits.
CREATE FUNCTION ledger_entry_is_balanced() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  lines integer;
  unbalanced integer;
BEGIN
  SELECT coalesce(sum(n), 0), count(*) FILTER (WHERE total <> 0) INTO lines, unbalanced
  FROM (SELECT count(*) AS n, sum(amount) AS total FROM ledger_postings WHERE entry_id = NEW.id GROUP BY asset_id) p;
  IF lines < 2 OR unbalanced > 0 THEN
    RAISE EXCEPTION 'ledger entry % has % postings, and % assets that do not sum to zero', NEW.id, lines, unbalanced
      USING ERRCODE = 'integrity_constraint_violation';
  END IF;
  RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER ledger_entries_balanced AFTER INSERT ON ledger_entries
  DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION ledger_entry_is_balanced();
ALTER TABLE ledger_entries ENABLE ALWAYS TRIGGER ledger_entries_balanced;

-- Postings come with their entry, in its transaction. Each insert folds into the stored balances, its accounts
-- locked in the order of their ids so that two of them can never wait for each other.
CREATE FUNCTION ledger_fold_postings() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF EXISTS (
    SELECT FROM inserted i JOIN ledger_entries e ON e.id = i.entry_id WHERE e.xid <> pg_current_xact_id()
  ) THEN
    RAISE EXCEPTION 'postings can only be added in the transaction of their entry'
      USING ERRCODE = 'integrity_constraint_violation';
  END IF;

  PERFORM 1 FROM ledger_accounts
    WHERE id IN (SELECT account_id FROM inserted) AND balance IS NOT NULL
    ORDER BY id FOR NO KEY UPDATE;

  UPDATE ledger_accounts a SET balance = a.balance + s.total
  FROM (SELECT account_id, sum(amount) AS total FROM inserted GROUP BY account_id) s
  WHERE a.id = s.account_id AND a.balance IS NOT NULL;
  RETURN NULL;
END $$;
CREATE TRIGGER ledger_postings_fold AFTER INSERT ON ledger_postings
  REFERENCING NEW TABLE AS inserted FOR EACH STATEMENT EXECUTE FUNCTION ledger_fold_postings();
ALTER TABLE ledger_postings ENABLE ALWAYS TRIGGER ledger_postings_fold;

-- Nothing in the ledger is ever changed or deleted. ENABLE ALWAYS: also for a session that replicates.
CREATE FUNCTION ledger_refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION '% on % is refused: the ledger is append-only; write a reversal', TG_OP, TG_TABLE_NAME
    USING ERRCODE = 'integrity_constraint_violation';
END $$;
CREATE TRIGGER ledger_entries_append_only BEFORE UPDATE OR DELETE ON ledger_entries
  FOR EACH ROW EXECUTE FUNCTION ledger_refuse_change();
CREATE TRIGGER ledger_postings_append_only BEFORE UPDATE OR DELETE ON ledger_postings
  FOR EACH ROW EXECUTE FUNCTION ledger_refuse_change();
CREATE TRIGGER ledger_entries_no_truncate BEFORE TRUNCATE ON ledger_entries
  FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse_change();
CREATE TRIGGER ledger_postings_no_truncate BEFORE TRUNCATE ON ledger_postings
  FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse_change();
ALTER TABLE ledger_entries ENABLE ALWAYS TRIGGER ledger_entries_append_only;
ALTER TABLE ledger_postings ENABLE ALWAYS TRIGGER ledger_postings_append_only;
ALTER TABLE ledger_entries ENABLE ALWAYS TRIGGER ledger_entries_no_truncate;
ALTER TABLE ledger_postings ENABLE ALWAYS TRIGGER ledger_postings_no_truncate;

-- A stored balance changes only by postings: in a statement at depth 0 no trigger of ours is at work.
CREATE FUNCTION ledger_refuse_balance_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF pg_trigger_depth() < 2 THEN
    RAISE EXCEPTION 'a balance changes only by postings' USING ERRCODE = 'integrity_constraint_violation';
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER ledger_accounts_balance_by_postings BEFORE UPDATE OF balance ON ledger_accounts
  FOR EACH ROW EXECUTE FUNCTION ledger_refuse_balance_change();
ALTER TABLE ledger_accounts ENABLE ALWAYS TRIGGER ledger_accounts_balance_by_postings;
CREATE TRIGGER ledger_accounts_no_delete BEFORE DELETE ON ledger_accounts
  FOR EACH ROW EXECUTE FUNCTION ledger_refuse_change();
ALTER TABLE ledger_accounts ENABLE ALWAYS TRIGGER ledger_accounts_no_delete;

-- Outbox --------------------------------------------------------------------------------------------------

CREATE TABLE endpoints (
  id              text PRIMARY KEY,
  merchant_id     text NOT NULL REFERENCES merchants,
  url             text NOT NULL,
  events          text[] NOT NULL,
  status          text NOT NULL DEFAULT 'enabled' CHECK (status IN ('enabled', 'disabled')),
  disabled_reason text,
  secret          bytea NOT NULL,   -- encrypted: see delivery/endpoint-secret.ts
  created_at      timestamptz NOT NULL DEFAULT now(),
  deleted_at      timestamptz
);
CREATE INDEX endpoints_merchant ON endpoints (merchant_id) WHERE deleted_at IS NULL;

-- One row for each status change of a deposit: its history, and what merchants are told.
CREATE TABLE events (
  id           uuid PRIMARY KEY DEFAULT uuid_v7(),
  merchant_id  text NOT NULL REFERENCES merchants,
  type         text NOT NULL,
  deposit_id   text REFERENCES deposits,
  sequence     integer,
  block_number bigint,
  block_hash   evm_hash,
  body         text NOT NULL,      -- the exact bytes every delivery of it sends
  xid          xid8 NOT NULL DEFAULT pg_current_xact_id(),   -- a feed reads below the oldest running one
  created_at   timestamptz(3) NOT NULL DEFAULT now(),
  UNIQUE (deposit_id, sequence),
  CHECK ((deposit_id IS NULL) = (sequence IS NULL))
);
CREATE INDEX events_feed ON events (merchant_id, xid, id);

CREATE TABLE deliveries (
  id              uuid PRIMARY KEY DEFAULT uuid_v7(),
  event_id        uuid NOT NULL REFERENCES events,
  endpoint_id     text NOT NULL REFERENCES endpoints,
  state           text NOT NULL DEFAULT 'due' CHECK (state IN ('due', 'delivered', 'failed')),
  attempt         integer NOT NULL DEFAULT 0,   -- attempts begun, which fence the outcome of each
  next_attempt_at timestamptz NOT NULL DEFAULT now(),
  claimed_until   timestamptz,
  created_at      timestamptz NOT NULL DEFAULT now(),
  finished_at     timestamptz,
  UNIQUE (event_id, endpoint_id),
  CHECK ((state = 'due') = (finished_at IS NULL))
) WITH (fillfactor = 60);   -- each row is updated twice soon after its insert
-- What is still to be sent, by endpoint. Delivered ones are not in it.
CREATE INDEX deliveries_due ON deliveries (endpoint_id, next_attempt_at) WHERE state = 'due';
CREATE INDEX deliveries_due_time ON deliveries (next_attempt_at) WHERE state = 'due';
CREATE INDEX deliveries_list ON deliveries (endpoint_id, id);

CREATE TABLE delivery_attempts (
  delivery_id   uuid NOT NULL REFERENCES deliveries,
  attempt       integer NOT NULL,
  started_at    timestamptz NOT NULL,
  duration_ms   integer NOT NULL,
  http_status   integer,           -- NULL: no answer came
  error         text,              -- class of the failure. NULL: delivered
  response_body text,              -- what the endpoint answered, cut or replaced by a note when too long
  PRIMARY KEY (delivery_id, attempt)
);
