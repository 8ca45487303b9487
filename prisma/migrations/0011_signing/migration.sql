-- How an endpoint's callbacks are signed, with the key before it while a merchant changes over, and headers that the
-- merchant wants with them.

ALTER TABLE endpoints
  ADD COLUMN signature text NOT NULL DEFAULT 'v1' CHECK (signature IN ('v1', 'v1a')),
  ADD COLUMN public_key bytea CHECK (octet_length(public_key) = 32),       -- of v1a; its private key is the secret
  ADD COLUMN previous_secret bytea,        -- encrypted, like secret; signs too until previous_until
  ADD COLUMN previous_signature text CHECK (previous_signature IN ('v1', 'v1a')),
  ADD COLUMN previous_until timestamptz,
  ADD COLUMN headers bytea,                -- encrypted JSON: tokens are often among them
  ADD COLUMN header_names text[] NOT NULL DEFAULT '{}',
  ADD CONSTRAINT endpoints_public_key CHECK ((signature = 'v1a') = (public_key IS NOT NULL)),
  ADD CONSTRAINT endpoints_previous CHECK (
    (previous_secret IS NULL) = (previous_until IS NULL) AND (previous_secret IS NULL) = (previous_signature IS NULL)),
  ADD CONSTRAINT endpoints_headers CHECK ((headers IS NULL) = (header_names = '{}'));
