-- Accruals that were booked pending because anti-fraud gave no answer, until it is asked again. Usually empty.
CREATE TABLE unassessed (
    member_id text NOT NULL,
    request_id text NOT NULL,
    transaction_id uuid NOT NULL,
    -- What is asked: a laurel.antifraud.v1.Operation, as it would have been asked when it was booked.
    operation bytea NOT NULL,
    record_time timestamptz NOT NULL,
    -- Not to be asked before; later than record_time only where the question itself was refused.
    due_time timestamptz NOT NULL,
    CONSTRAINT unassessed_pkey PRIMARY KEY (member_id, request_id)
);
CREATE INDEX unassessed_due ON unassessed (due_time, member_id, request_id);
GRANT SELECT, INSERT, UPDATE, DELETE ON unassessed TO {role};
