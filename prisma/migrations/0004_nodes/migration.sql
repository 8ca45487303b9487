-- How the nodes of a chain are doing.
--
-- What the daemon that follows a chain reports of its nodes every few seconds: for the eyes of operators, never a
-- basis of decisions.
CREATE TABLE node_states (
  chain_id       bigint NOT NULL REFERENCES chains,
  node           text NOT NULL,             -- host:port, never the URL
  position       integer NOT NULL,          -- in the config
  state          text NOT NULL,
  is_leading     boolean NOT NULL,          -- its branch is followed
  head_number    bigint,
  head_at        timestamptz,               -- by the daemon's clock
  latency_ms     integer,
  request_limit  integer NOT NULL,          -- requests at once
  errors         text[] NOT NULL,           -- "code=count" since that daemon's start
  problem        text,                      -- what it fails with now
  reported_by    text NOT NULL,
  reported_at    timestamptz NOT NULL,
  PRIMARY KEY (chain_id, node)
);
