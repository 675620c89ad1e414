-- Where a member stands. Known from a purchase or an enrolment; no personal data here.
-- No tier and no validity: everybody's tier, the lowest one of whatever ladder is in force.
CREATE TABLE member (
    member_id text NOT NULL,
    tier_id text,
    valid_until_time timestamptz,
    program_version integer NOT NULL DEFAULT 0,
    decide_time timestamptz,
    decision_count integer NOT NULL DEFAULT 0,
    record_time timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT member_pkey PRIMARY KEY (member_id),
    CONSTRAINT member_id_length CHECK (octet_length(member_id) BETWEEN 1 AND 128),
    CONSTRAINT member_tier_is_held_for_a_time CHECK ((tier_id IS NULL) = (valid_until_time IS NULL)),
    CONSTRAINT member_stands_where_decided CHECK (tier_id IS NULL OR decision_count > 0),
    CONSTRAINT member_decided CHECK ((decide_time IS NULL) = (decision_count = 0))
);
-- What a review looks for.
CREATE INDEX member_valid_until ON member (valid_until_time) WHERE valid_until_time IS NOT NULL;

-- Who a member is: there is a row if and only if they enrolled. The only table of personal data in Laurel.
CREATE TABLE profile (
    member_id text NOT NULL,
    enrol_time timestamptz NOT NULL,
    email text NOT NULL,
    birth_month smallint NOT NULL,
    birth_day smallint NOT NULL,
    channel text NOT NULL,
    language text NOT NULL,
    email_consent boolean NOT NULL,
    record_time timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT profile_pkey PRIMARY KEY (member_id),
    CONSTRAINT profile_member_id_fkey FOREIGN KEY (member_id) REFERENCES member (member_id),
    CONSTRAINT profile_birthday CHECK (
        (birth_month = 0 AND birth_day = 0)
        OR (birth_month IN (1, 3, 5, 7, 8, 10, 12) AND birth_day BETWEEN 1 AND 31)
        OR (birth_month IN (4, 6, 9, 11) AND birth_day BETWEEN 1 AND 30)
        OR (birth_month = 2 AND birth_day BETWEEN 1 AND 29)
    )
);

-- Spend that counts for a tier, and spend that was returned (below 0), at the time of the purchase. Append-only.
-- An event takes effect once: the same event has the same time. No foreign key: this is the table that grows.
CREATE TABLE growth (
    member_id text NOT NULL,
    counted_time timestamptz NOT NULL,
    event_id uuid NOT NULL,
    transaction_id text NOT NULL,
    spend_minor bigint NOT NULL,
    CONSTRAINT growth_pkey PRIMARY KEY (member_id, counted_time, event_id),
    CONSTRAINT growth_counts CHECK (spend_minor <> 0)
);

-- A decision about a tier with all that it was decided on; numbered for each member without a gap. Append-only.
-- Kinds as in the contract: 1 upgrade, 2 retention, 3 demotion.
CREATE TABLE decision (
    member_id text NOT NULL,
    number integer NOT NULL,
    decision_id uuid NOT NULL,
    kind smallint NOT NULL,
    from_tier_id text NOT NULL,
    from_rank smallint NOT NULL,
    to_tier_id text NOT NULL,
    to_rank smallint NOT NULL,
    window_spend_minor bigint NOT NULL,
    threshold_minor bigint NOT NULL,
    window_start_time timestamptz NOT NULL,
    occurred_time timestamptz NOT NULL,
    record_time timestamptz NOT NULL,
    valid_until_time timestamptz,
    program_version integer NOT NULL,
    cause_event_id uuid,
    CONSTRAINT decision_pkey PRIMARY KEY (member_id, number),
    CONSTRAINT decision_decision_id_key UNIQUE (member_id, decision_id),
    CONSTRAINT decision_member_id_fkey FOREIGN KEY (member_id) REFERENCES member (member_id),
    CONSTRAINT decision_number CHECK (number > 0),
    CONSTRAINT decision_follows_its_kind CHECK (
        CASE kind
            WHEN 1 THEN to_rank > from_rank AND window_spend_minor >= threshold_minor
            WHEN 2 THEN to_rank = from_rank AND window_spend_minor >= threshold_minor
            WHEN 3 THEN to_rank = from_rank - 1 AND window_spend_minor < threshold_minor
            ELSE false
        END
    ),
    CONSTRAINT decision_of_events_is_upgrade CHECK ((kind = 1) = (cause_event_id IS NOT NULL)),
    CONSTRAINT decision_lowest_needs_no_validity CHECK ((to_rank = 0) = (valid_until_time IS NULL))
);

-- The service may add to history and never change it.
GRANT SELECT, INSERT, UPDATE ON member TO {role};
GRANT SELECT, INSERT ON profile TO {role};
GRANT SELECT, INSERT ON growth TO {role};
GRANT SELECT, INSERT ON decision TO {role};
