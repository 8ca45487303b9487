-- Looking at the past for one address: what `watchFrom` at its registration asked for, per chain.

CREATE TABLE address_rescans (
  address       evm_address NOT NULL REFERENCES watched_addresses,
  chain_id      bigint NOT NULL REFERENCES chains,
  state         text NOT NULL DEFAULT 'due' CHECK (state IN ('due', 'running', 'done')),
  -- The earliest time that was asked for, and the one that from_number already takes into account.
  from_time     timestamptz,
  resolved_time timestamptz,
  -- NULL until the time is resolved. Everything from from_number to below next_number was scanned.
  from_number   bigint CHECK (from_number >= 0),
  next_number   bigint,
  -- The cursor when it was asked for: what lies above it is matched by the ingest. NULL: there was none yet.
  to_number     bigint,
  -- Who scans, and until when without a sign of life, by the database's clock.
  claimed_by    text,
  claimed_until timestamptz,
  progressed_at timestamptz NOT NULL DEFAULT now(),
  created_at    timestamptz NOT NULL DEFAULT now(),
  finished_at   timestamptz,
  PRIMARY KEY (address, chain_id),
  CHECK ((state = 'done') = (finished_at IS NOT NULL)),
  CHECK (state <> 'done' OR (claimed_by IS NULL AND from_time IS NOT DISTINCT FROM resolved_time)),
  CHECK ((claimed_by IS NULL) = (claimed_until IS NULL)),
  CHECK ((from_number IS NULL) = (next_number IS NULL)),
  CHECK (from_number IS NOT NULL OR from_time IS NOT NULL)
) WITH (fillfactor = 60);   -- each row is updated once for each batch of blocks
CREATE INDEX address_rescans_live ON address_rescans (chain_id, progressed_at) WHERE state <> 'done';
