-- The filling of counters that a version of the program is the first to need, from the stored assessments.
CREATE TABLE velocity_fill (
    -- of the program
    version integer NOT NULL,
    -- [{kind, dimension, start}]: what is filled, and from which create_time on (ISO 8601); empty where nothing is missing
    series jsonb NOT NULL,
    -- Assessments created before it are filled in; then it is done.
    until_time timestamptz NOT NULL,
    -- Those created before it are filled in already.
    cursor_time timestamptz NOT NULL,
    -- How much time the next step looks at, as 500 assessments or so lie in it.
    slice_us bigint NOT NULL,
    -- Whatever was created before it is committed.
    safe_time timestamptz NOT NULL,
    -- Becomes the safe time once the transactions below `fence_xid` have ended.
    fence_time timestamptz NOT NULL,
    fence_xid bigint NOT NULL,
    CONSTRAINT velocity_fill_pkey PRIMARY KEY (version),
    CONSTRAINT velocity_fill_within CHECK (cursor_time <= until_time),
    CONSTRAINT velocity_fill_slice_positive CHECK (slice_us > 0)
);
GRANT SELECT, INSERT, UPDATE ON velocity_fill TO {role};
