-- How many nodes must hold a block before what is in it is credited. Kept beside the cursor, so that whoever
-- settles judges by the same.
ALTER TABLE chains ADD COLUMN witnesses integer NOT NULL DEFAULT 1 CHECK (witnesses >= 1);
