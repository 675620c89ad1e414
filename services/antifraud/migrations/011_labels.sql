-- What people found out about operations: what rules are measured by.
CREATE TABLE label (
    member_id text COLLATE "C" NOT NULL,
    request_id text COLLATE "C" NOT NULL,
    -- Whether it was fraud, after all.
    is_fraud boolean NOT NULL,
    operator text NOT NULL,
    label_time timestamptz NOT NULL,
    CONSTRAINT label_pkey PRIMARY KEY (member_id, request_id)
);
GRANT SELECT, INSERT, UPDATE ON label TO {role};
