-- Since when `safe` and `finalized` stand where they stand: a deposit that waits for one can say so.
-- Forward only.

ALTER TABLE chains ADD COLUMN safe_at timestamptz;
ALTER TABLE chains ADD COLUMN finalized_at timestamptz;
