-- Each endpoint's own breaker and schedule.

ALTER TABLE endpoints
  ADD COLUMN schedule_ms integer[] NOT NULL DEFAULT '{}',   -- its own; empty: the config's
  -- What its first attempts wait after their event. It stands here because events are written by those who do not
  -- know the schedule.
  ADD COLUMN first_delay_ms integer NOT NULL DEFAULT 0 CHECK (first_delay_ms >= 0),
  -- The breaker: see delivery/breaker.ts. All of it is cleared by a success.
  ADD COLUMN failures integer NOT NULL DEFAULT 0,          -- in a row
  ADD COLUMN pauses integer NOT NULL DEFAULT 0,            -- in a row
  ADD COLUMN paused_until timestamptz,
  ADD COLUMN failing_since timestamptz,
  ADD COLUMN last_failed_at timestamptz;
CREATE INDEX endpoints_paused ON endpoints (paused_until) WHERE paused_until IS NOT NULL;

-- Whoever takes test events gets the operational ones too.
UPDATE endpoints SET events = array_append(events, 'endpoint.disabled') WHERE 'endpoint.test' = ANY (events);

-- An attempt is written by the statement that moves its delivery, so the reference holds by itself; looking it up
-- again locks the row that was just written, once for each callback.
ALTER TABLE delivery_attempts DROP CONSTRAINT delivery_attempts_delivery_id_fkey;
