-- To see what came of deliveries, and to mend what went wrong: attempts by their phases, deliveries that are
-- skipped or sent again, replays.

ALTER TABLE delivery_attempts
  ADD COLUMN error_code text,            -- what the system or the TLS library called it
  ADD COLUMN dns_ms integer,             -- NULL, as for the others: not reached, or not needed
  ADD COLUMN connect_ms integer,
  ADD COLUMN tls_ms integer,
  ADD COLUMN first_byte_ms integer;      -- from the request on an open connection to the answer's first byte

ALTER TABLE deliveries
  -- Attempts up to this number belong to an earlier run of the schedule: sent again, a delivery begins anew.
  ADD COLUMN schedule_base integer NOT NULL DEFAULT 0,
  DROP CONSTRAINT deliveries_state_check,
  -- skipped: kept for a disabled endpoint, and not wanted when it was enabled again.
  ADD CONSTRAINT deliveries_state_check CHECK (state IN ('due', 'delivered', 'failed', 'skipped'));

-- What went wrong, among millions that did not.
CREATE INDEX deliveries_undelivered ON deliveries (endpoint_id, id) WHERE state IN ('failed', 'skipped');

-- A merchant's or an operator's order to send many again. It is carried out batch by batch, by whoever is there.
CREATE TABLE replays (
  id          text PRIMARY KEY,
  endpoint_id text NOT NULL REFERENCES endpoints,
  since       timestamptz NOT NULL,
  until       timestamptz NOT NULL,
  types       text[],                    -- NULL: all
  states      text[] NOT NULL CHECK (states <@ '{delivered,failed,skipped}' AND states <> '{}'),
  after       uuid NOT NULL,             -- deliveries up to this one are dealt with
  total       bigint NOT NULL,           -- how many there were when it was ordered
  done        bigint NOT NULL DEFAULT 0,
  created_at  timestamptz NOT NULL DEFAULT now(),
  finished_at timestamptz
);
CREATE INDEX replays_open ON replays (created_at) WHERE finished_at IS NULL;
CREATE INDEX replays_list ON replays (endpoint_id, created_at);

-- The first id that uuid_v7() may have made at a time: where a scan by id begins that is meant by time.
CREATE FUNCTION uuid_v7_floor(at timestamptz) RETURNS uuid LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
  SELECT encode(
    overlay('\x00000000000070008000000000000000'::bytea
      PLACING substring(int8send(greatest(0, floor(extract(epoch FROM at) * 1000))::bigint) FROM 3) FROM 1 FOR 6),
    'hex')::uuid
$$;
