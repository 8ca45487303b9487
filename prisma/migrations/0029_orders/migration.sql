-- Orders: an expected amount on an address of its own, by the merchant's own number, with a deadline. And the extended
-- public keys that addresses are derived from.
-- Forward only.

-- The order an address was made for. An address is given to its order when it is registered, in one transaction, and
-- never again: so a deposit knows its order from the row that it is matched with, at no query more.
ALTER TABLE watched_addresses ADD COLUMN order_no text;
ALTER TABLE deposits ADD COLUMN order_no text;
ALTER TABLE seen_payments ADD COLUMN order_no text;

CREATE TABLE orders (
  id          text PRIMARY KEY,
  merchant_id text NOT NULL REFERENCES merchants,
  order_no    text NOT NULL CHECK (length(order_no) BETWEEN 1 AND 200),
  user_id     text NOT NULL,
  chain_id    bigint NOT NULL REFERENCES chains,
  asset_id    integer NOT NULL REFERENCES assets,
  amount      uint256 NOT NULL CHECK (amount > 0),
  address     evm_address NOT NULL UNIQUE REFERENCES watched_addresses,
  lifetime_s  integer NOT NULL CHECK (lifetime_s > 0),   -- as it was asked for: the same request again is the same order
  expires_at  timestamptz(3) NOT NULL,                   -- what is in a block of a later time is late
  status      text NOT NULL DEFAULT 'open' CHECK (status IN ('open', 'underpaid', 'paid', 'overpaid', 'expired')),
  sequence    integer NOT NULL DEFAULT 0,
  -- Credited deposits of the order's asset, by their block's time. The deposits are the truth; these are what was told.
  -- Sums, which may be more than one amount can be.
  paid        numeric NOT NULL DEFAULT 0 CHECK (paid >= 0 AND scale(paid) = 0),
  late        numeric NOT NULL DEFAULT 0 CHECK (late >= 0 AND scale(late) = 0),
  paid_at     timestamptz(3),
  created_at  timestamptz(3) NOT NULL DEFAULT now(),
  UNIQUE (merchant_id, order_no)
);
-- What a deadline can still end.
CREATE INDEX orders_running ON orders (chain_id, expires_at) WHERE status IN ('open', 'underpaid');
CREATE INDEX orders_list ON orders (merchant_id, created_at, id);
CREATE INDEX orders_user ON orders (merchant_id, user_id, created_at, id);

-- No foreign key, which would be looked at for each event of a deposit too; orders are never deleted.
ALTER TABLE events ADD COLUMN order_id text;
ALTER TABLE events DROP CONSTRAINT events_subject;
ALTER TABLE events ADD CONSTRAINT events_subject
  CHECK (num_nonnulls(deposit_id, seen_id, order_id) = num_nonnulls(sequence));
CREATE UNIQUE INDEX events_order ON events (order_id, sequence) WHERE order_id IS NOT NULL;

-- BIP-32 extended public keys, from which addresses are derived one after the other. A key that is replaced keeps its
-- row: taken up again, it goes on where it was.
CREATE TABLE extended_keys (
  id          integer PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
  merchant_id text NOT NULL REFERENCES merchants,
  public_key  text NOT NULL,                      -- xpub…, as it was given
  fingerprint text NOT NULL,                      -- its name for people: it tells nothing of the key
  path_prefix text NOT NULL,                      -- what stands before the index in the path below the key
  -- Chain code and public key of the branch that addresses are children of: all that they follow from. One branch can
  -- be written as more than one text, and no two merchants may have the same: their addresses would be the same.
  branch      bytea NOT NULL UNIQUE CHECK (length(branch) = 65),
  next_index  integer NOT NULL DEFAULT 0 CHECK (next_index >= 0),
  is_current  boolean NOT NULL DEFAULT true,
  created_at  timestamptz NOT NULL DEFAULT now()
);
CREATE UNIQUE INDEX extended_keys_current ON extended_keys (merchant_id) WHERE is_current;

-- Which key an address came from, and where: what its owner needs to spend from it.
CREATE TABLE derived_addresses (
  extended_key_id integer NOT NULL REFERENCES extended_keys,
  index           integer NOT NULL CHECK (index >= 0),
  address         evm_address NOT NULL UNIQUE REFERENCES watched_addresses,
  user_id         text,                           -- whose own it is; NULL: it is an order's
  PRIMARY KEY (extended_key_id, index)
);
-- A user has one of each key, however often and at once it is asked for.
CREATE UNIQUE INDEX derived_addresses_own ON derived_addresses (extended_key_id, user_id) WHERE user_id IS NOT NULL;
