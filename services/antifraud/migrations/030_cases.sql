-- What people are to look at: one open case of a member at most, which all joins that is put under review.
CREATE TABLE fraud_case (
    case_id uuid NOT NULL,
    member_id text COLLATE "C" NOT NULL,
    -- 1 open, 2 decided; laurel.antifraud.v1.CaseState
    state smallint NOT NULL,
    -- The highest score of its assessments.
    score smallint NOT NULL,
    assessment_count integer NOT NULL,
    open_time timestamptz NOT NULL,
    last_assessment_time timestamptz NOT NULL,
    -- Who works on it, until when; NULL where nobody does.
    claimant text,
    claim_expire_time timestamptz,
    -- 1 legitimate, 2 fraudulent; laurel.antifraud.v1.CaseOutcome
    outcome smallint,
    operator text,
    identity text,
    reason text,
    decide_time timestamptz,
    CONSTRAINT fraud_case_pkey PRIMARY KEY (case_id),
    CONSTRAINT fraud_case_state_known CHECK (state BETWEEN 1 AND 2),
    CONSTRAINT fraud_case_score_in_range CHECK (score BETWEEN 0 AND 1000),
    CONSTRAINT fraud_case_has_assessments CHECK (assessment_count > 0),
    CONSTRAINT fraud_case_claim_ends CHECK ((claimant IS NULL) = (claim_expire_time IS NULL)),
    CONSTRAINT fraud_case_outcome_known CHECK (outcome BETWEEN 1 AND 2),
    CONSTRAINT fraud_case_decided CHECK (
        (state = 2) = (outcome IS NOT NULL AND operator IS NOT NULL AND identity IS NOT NULL AND reason IS NOT NULL AND decide_time IS NOT NULL)
        AND (state = 1 OR claimant IS NULL)
    )
) WITH (fillfactor = 80);
-- One that is decided leaves this index, and the next review opens another.
CREATE UNIQUE INDEX fraud_case_open ON fraud_case (member_id) WHERE state = 1;
CREATE INDEX fraud_case_by_member ON fraud_case (member_id, case_id);
CREATE INDEX fraud_case_by_state ON fraud_case (state, case_id);
CREATE INDEX fraud_case_by_score ON fraud_case (state, score DESC, case_id);

-- An assessment of a case.
CREATE TABLE case_item (
    member_id text COLLATE "C" NOT NULL,
    request_id text COLLATE "C" NOT NULL,
    assessment_id uuid NOT NULL,
    case_id uuid NOT NULL,
    -- 1 accrual, 2 redemption; laurel.program.v1.FraudOperation
    kind smallint NOT NULL,
    CONSTRAINT case_item_pkey PRIMARY KEY (member_id, request_id),
    CONSTRAINT case_item_case_id_fkey FOREIGN KEY (case_id) REFERENCES fraud_case (case_id)
);
CREATE INDEX case_item_by_case ON case_item (case_id, assessment_id);

GRANT SELECT, INSERT, UPDATE ON fraud_case TO {role};
GRANT SELECT, INSERT ON case_item TO {role};

-- What was put under review before there were cases joins one of its member.
INSERT INTO fraud_case (case_id, member_id, state, score, assessment_count, open_time, last_assessment_time)
SELECT
    -- Of version 7, so that ids tell the age here as well.
    (
        lpad(to_hex(floor(extract(epoch FROM min(create_time)) * 1000)::bigint), 12, '0')
        || '7' || left(md5(member_id), 3) || '8' || substr(md5(member_id), 4, 15)
    )::uuid,
    member_id, 1, max(score), count(*), min(create_time), max(create_time)
FROM assessment
WHERE action = 2
GROUP BY member_id;
INSERT INTO case_item (member_id, request_id, assessment_id, case_id, kind)
SELECT a.member_id, a.request_id, a.assessment_id, c.case_id, a.kind
FROM assessment AS a
INNER JOIN fraud_case AS c ON c.member_id = a.member_id
WHERE a.action = 2;
