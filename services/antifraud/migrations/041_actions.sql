-- What anti-fraud did beyond single operations, by rule or by hand, and what ended it: the audit trail. Never changed.
CREATE TABLE action (
    action_id uuid NOT NULL,
    -- 1 freeze account, 2 earn only, 3 deny list, 4 watch list, 5 cap points; laurel.program.v1.FraudReactionKind
    kind smallint NOT NULL,
    -- What it was done to, as in list_entry.
    key_kind smallint NOT NULL,
    value text COLLATE "C" NOT NULL,
    -- The member it is about; empty where none was named.
    member_id text COLLATE "C" NOT NULL,
    -- The cap; NULL for other kinds.
    points bigint,
    -- The rule that fired and in which assessment; NULL where a person decided.
    rule text,
    assessment_id uuid,
    -- The person who decided; empty for a rule, and for an end by the clock.
    operator text NOT NULL,
    identity text NOT NULL,
    reason text NOT NULL,
    create_time timestamptz NOT NULL,
    end_time timestamptz,
    -- The action that this one lifts; NULL for one that was taken.
    lifts_action_id uuid,
    CONSTRAINT action_pkey PRIMARY KEY (action_id),
    CONSTRAINT action_kind_known CHECK (kind BETWEEN 1 AND 5),
    CONSTRAINT action_key_kind_known CHECK (key_kind BETWEEN 1 AND 5),
    CONSTRAINT action_cap_has_points CHECK ((kind = 5) = (points IS NOT NULL)),
    CONSTRAINT action_is_of_a_member CHECK (kind IN (3, 4) OR (key_kind = 1 AND value = member_id)),
    CONSTRAINT action_rule_has_assessment CHECK ((rule IS NULL) = (assessment_id IS NULL))
);
-- An action is lifted once.
CREATE UNIQUE INDEX action_lifted_once ON action (lifts_action_id) WHERE lifts_action_id IS NOT NULL;
CREATE INDEX action_of_member ON action (member_id, action_id) WHERE lifts_action_id IS NULL;

-- The actions in force: one of a kind on a key, by its row. What has an end is lifted by the clock.
CREATE TABLE action_in_force (
    key_kind smallint NOT NULL,
    value text COLLATE "C" NOT NULL,
    kind smallint NOT NULL,
    action_id uuid NOT NULL,
    points bigint,
    end_time timestamptz,
    CONSTRAINT action_in_force_pkey PRIMARY KEY (key_kind, value, kind)
);
CREATE UNIQUE INDEX action_in_force_id ON action_in_force (action_id);
CREATE INDEX action_in_force_ending ON action_in_force (end_time) WHERE end_time IS NOT NULL;

-- What members have to say against actions, and what was decided about it.
CREATE TABLE appeal (
    appeal_id uuid NOT NULL,
    action_id uuid NOT NULL,
    member_id text COLLATE "C" NOT NULL,
    text text NOT NULL,
    -- 1 open, 2 granted, 3 rejected; laurel.antifraud.v1.AppealState
    state smallint NOT NULL,
    create_time timestamptz NOT NULL,
    -- NULL while it is open.
    operator text,
    identity text,
    reason text,
    decide_time timestamptz,
    CONSTRAINT appeal_pkey PRIMARY KEY (appeal_id),
    CONSTRAINT appeal_state_known CHECK (state BETWEEN 1 AND 3),
    CONSTRAINT appeal_decided_by CHECK (
        (state = 1) = (decide_time IS NULL) AND (state = 1) = (operator IS NULL) AND (state = 1) = (reason IS NULL)
    )
);
-- One open appeal against an action.
CREATE UNIQUE INDEX appeal_open ON appeal (action_id) WHERE state = 1;
CREATE INDEX appeal_of_action ON appeal (action_id);
CREATE INDEX appeal_of_member ON appeal (member_id, appeal_id);
CREATE INDEX appeal_by_state ON appeal (state, appeal_id);

GRANT SELECT, INSERT ON action TO {role};
GRANT SELECT, INSERT, UPDATE, DELETE ON action_in_force TO {role};
GRANT SELECT, INSERT, UPDATE ON appeal TO {role};
