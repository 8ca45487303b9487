-- Tokens whose balance counts and not the Transfer event's amount (`amountFrom: balance`). Forward only.
--
-- `event_amount` is there for such deposits alone; `amount` is what counts, and is the event's until it is measured.
-- `balance_nodes` is there once it is: how many nodes told the same balances. Until then `measure_at` says when it is
-- tried next, and the deposit is due to no settler: it has neither a block nor a tag to be credited at.

ALTER TABLE deposits
  ADD COLUMN event_amount    uint256 CHECK (event_amount > 0),
  ADD COLUMN balance_nodes   smallint CHECK (balance_nodes > 0),
  ADD COLUMN measure_at      timestamptz,
  ADD COLUMN measure_problem text;

ALTER TABLE deposits DROP CONSTRAINT deposits_amount_check;
ALTER TABLE deposits DROP CONSTRAINT deposits_check;
ALTER TABLE deposits
  ADD CONSTRAINT deposits_amount CHECK (amount > 0 OR (status NOT IN ('pending', 'held', 'credited', 'unlocked')
    AND event_amount IS NOT NULL)),
  ADD CONSTRAINT deposits_amount_within_event CHECK (amount <= event_amount),
  ADD CONSTRAINT deposits_pending_is_due CHECK (status <> 'pending' OR credit_block IS NOT NULL
    OR credit_tag IS NOT NULL OR measure_at IS NOT NULL),
  -- Whatever the program does: the event's amount is never credited in place of one that was to be measured.
  ADD CONSTRAINT deposits_measured CHECK (event_amount IS NULL OR balance_nodes IS NOT NULL
    OR status NOT IN ('held', 'credited', 'unlocked'));

CREATE INDEX deposits_to_measure ON deposits (chain_id, measure_at)
  WHERE status = 'pending' AND measure_at IS NOT NULL;
