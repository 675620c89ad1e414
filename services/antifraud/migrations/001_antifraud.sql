-- What was decided about an operation, kept for ever: one decision per request id.
-- Its only index is the key: this table takes one row for every write of points. A list reads and sorts what one member has.
CREATE TABLE assessment (
    member_id text COLLATE "C" NOT NULL,
    request_id text COLLATE "C" NOT NULL,
    assessment_id uuid NOT NULL,
    -- 1 accrual, 2 redemption; laurel.program.v1.FraudOperation
    kind smallint NOT NULL,
    -- 1 allow, 2 review, 3 deny; laurel.program.v1.FraudAction
    action smallint NOT NULL,
    score smallint NOT NULL,
    program_version integer NOT NULL,
    points bigint NOT NULL,
    occurred_time timestamptz NOT NULL,
    create_time timestamptz NOT NULL,
    -- [{rule, action, score, facts}]; NULL where no rule fired, which is nearly always
    fired jsonb,
    CONSTRAINT assessment_pkey PRIMARY KEY (member_id, request_id),
    CONSTRAINT assessment_kind_known CHECK (kind BETWEEN 1 AND 2),
    CONSTRAINT assessment_action_known CHECK (action BETWEEN 1 AND 3),
    CONSTRAINT assessment_score_in_range CHECK (score BETWEEN 0 AND 1000),
    CONSTRAINT assessment_version_positive CHECK (program_version > 0),
    CONSTRAINT assessment_points_not_negative CHECK (points >= 0),
    CONSTRAINT assessment_strictness_has_cause CHECK (action = 1 OR fired IS NOT NULL)
);

-- What was assessed lately under a key: the lock and the memory of its sliding windows.
CREATE TABLE velocity (
    -- member id, fingerprint, address or store
    key text COLLATE "C" NOT NULL,
    -- 1 member, 2 device, 3 ip, 4 card, 5 store
    dimension smallint NOT NULL,
    kind smallint NOT NULL,
    -- records of 28 bytes, little-endian: int64 microseconds since 1970, int32 count, int64 amount_minor, int64 points
    entries bytea NOT NULL,
    write_time timestamptz NOT NULL,
    CONSTRAINT velocity_pkey PRIMARY KEY (key, dimension, kind),
    CONSTRAINT velocity_dimension_known CHECK (dimension BETWEEN 1 AND 5),
    CONSTRAINT velocity_kind_known CHECK (kind BETWEEN 1 AND 2),
    CONSTRAINT velocity_entries_whole CHECK (length(entries) > 0 AND length(entries) % 28 = 0)
-- Rows are rewritten all the time and no index sees it: room on the page keeps it that way.
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.05);

GRANT SELECT, INSERT ON assessment TO {role};
GRANT SELECT, INSERT, UPDATE, DELETE ON velocity TO {role};
