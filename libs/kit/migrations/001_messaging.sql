-- Runs in the schema of every service.

-- A request that took effect. Kept for ever: one effect per request id.
CREATE TABLE request (
    request_id text NOT NULL,
    method text NOT NULL,
    content_hash bytea NOT NULL,
    response bytea,
    record_time timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT request_pkey PRIMARY KEY (request_id)
);

-- Events that wait for the broker; a row leaves when the broker has acknowledged it.
CREATE TABLE outbox (
    batch_id uuid NOT NULL,
    type text NOT NULL,
    payload bytea NOT NULL,
    record_time timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT outbox_pkey PRIMARY KEY (batch_id)
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000);

-- Messages that took effect here; kept longer than the broker keeps messages.
CREATE TABLE inbox (
    batch_id uuid NOT NULL,
    handle_time timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT inbox_pkey PRIMARY KEY (batch_id)
);
CREATE INDEX inbox_handle_time ON inbox (handle_time);

-- The service's own role may do no more than this to them; {role} is filled in by the runner.
GRANT SELECT, INSERT, UPDATE ON request TO {role};
GRANT SELECT, INSERT, UPDATE, DELETE ON outbox TO {role};
GRANT SELECT, INSERT, DELETE ON inbox TO {role};
