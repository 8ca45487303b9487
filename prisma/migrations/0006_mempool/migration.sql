-- Payments seen waiting in the mempool, and the events that tell of them. None of it is a deposit: no balance and
-- no ledger entry ever comes from these rows.

CREATE TABLE seen_payments (
  id           text PRIMARY KEY,   -- derived from (chain_id, tx_hash, source)
  chain_id     bigint NOT NULL REFERENCES chains,
  tx_hash      evm_hash NOT NULL,
  source       text NOT NULL CHECK (source IN ('value', 'call')),
  merchant_id  text NOT NULL REFERENCES merchants,
  user_id      text NOT NULL,
  asset_id     integer NOT NULL REFERENCES assets,
  token        evm_address,        -- NULL: the native coin
  amount       uint256 NOT NULL CHECK (amount > 0),
  sender       evm_address NOT NULL,   -- who signed: (sender, nonce) is what another transaction can take
  nonce        bigint NOT NULL CHECK (nonce >= 0),
  from_address evm_address NOT NULL,   -- whose money it is: another than the sender in a transferFrom
  to_address   evm_address NOT NULL,
  credit_at    text NOT NULL,
  unlock_at    text NOT NULL,
  status       text NOT NULL CHECK (status IN ('seen', 'mined', 'replaced', 'dropped')),
  sequence     integer NOT NULL,
  replaced_by  evm_hash,           -- NULL: nobody saw what took the nonce
  block_number bigint,
  block_hash   evm_hash,
  deposit_ids  text[] NOT NULL DEFAULT '{}',
  detected_at  timestamptz(3) NOT NULL DEFAULT now(),
  changed_at   timestamptz(3) NOT NULL DEFAULT now(),
  UNIQUE (tx_hash, source, chain_id),
  CHECK ((status = 'mined') = (block_number IS NOT NULL)),
  CHECK ((block_number IS NULL) = (block_hash IS NULL)),
  CHECK (replaced_by IS NULL OR status = 'replaced')
);
-- What is looked at again with every look at the mempool; what a reorg may take back; what has had its time.
CREATE INDEX seen_payments_live ON seen_payments (chain_id, id) WHERE status = 'seen';
CREATE INDEX seen_payments_mined ON seen_payments (chain_id, block_number) WHERE status = 'mined';
CREATE INDEX seen_payments_ended ON seen_payments (changed_at) WHERE status <> 'seen';
CREATE INDEX seen_payments_list ON seen_payments (merchant_id, detected_at, id);
CREATE INDEX seen_payments_to ON seen_payments (to_address);

-- No foreign key: a seen payment is deleted some days after it ended, its events stay. The id says which it was,
-- and keeps its sequence rising should the same transaction ever come back.
ALTER TABLE events ADD COLUMN seen_id text;
ALTER TABLE events DROP CONSTRAINT events_check;
ALTER TABLE events ADD CONSTRAINT events_subject
  CHECK (num_nonnulls(deposit_id, seen_id) = num_nonnulls(sequence));
CREATE UNIQUE INDEX events_seen ON events (seen_id, sequence) WHERE seen_id IS NOT NULL;
