-- Batches of tills that are offline at times: claimed before their rows are booked, and answered once for all after that.
CREATE TABLE till_batch (
    device_id text NOT NULL,
    batch_number bigint NOT NULL CHECK (batch_number > 0),
    content_hash bytea NOT NULL,
    -- The answer; NULL while rows are still to be decided.
    response bytea,
    submit_time timestamptz NOT NULL,
    CONSTRAINT till_batch_pkey PRIMARY KEY (device_id, batch_number)
);
GRANT SELECT, INSERT, UPDATE ON till_batch TO {role};
