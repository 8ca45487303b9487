-- Since when, and from which block, a chain has been catching up: what tells how far it is and how fast. Both NULL
-- while it is at its head.
ALTER TABLE chains
  ADD COLUMN behind_from  bigint,
  ADD COLUMN behind_since timestamptz,
  ADD CHECK ((behind_from IS NULL) = (behind_since IS NULL));
