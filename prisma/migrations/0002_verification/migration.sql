-- How much of what the nodes told is proved: of each chain, each kept block and each deposit.

ALTER TABLE chains
  -- Of the newest block, and what a block of this chain reaches as far as is known.
  ADD COLUMN verification          text CHECK (verification IN ('none', 'bloom', 'proved')),
  ADD COLUMN verification_expected text CHECK (verification_expected IN ('none', 'bloom', 'proved')),
  -- Why less is proved than the chain reaches; NULL while all of it is.
  ADD COLUMN verification_alarm    text,
  -- What the blocks have proved so far. Without it a node that lies at the moment of a start could lower it.
  ADD COLUMN verification_parts      text[] NOT NULL DEFAULT '{}',
  ADD COLUMN verification_shortfalls text[] NOT NULL DEFAULT '{}',
  ADD COLUMN verification_familiar   text[] NOT NULL DEFAULT '{}',
  -- The newest block of our branch that as many nodes hold as the config asks for.
  ADD COLUMN witnessed_number bigint;

-- NULL: only the block's header was asked for, as of the one that a chain begins after.
ALTER TABLE block_refs ADD COLUMN verification text CHECK (verification IN ('none', 'bloom', 'proved'));

ALTER TABLE deposits ADD COLUMN verification text NOT NULL DEFAULT 'none'
  CHECK (verification IN ('none', 'bloom', 'proved'));
