-- Points that an operator gave or took by hand, or asked to.
CREATE TABLE adjustment (
    member_id text NOT NULL,
    adjustment_id uuid NOT NULL,
    points bigint NOT NULL CONSTRAINT adjustment_points_check CHECK (points <> 0),
    -- 1 waits for approval, 2 booked, 3 rejected.
    state smallint NOT NULL,
    operator text NOT NULL,
    identity text NOT NULL,
    reason text NOT NULL,
    create_time timestamptz NOT NULL,
    -- Who approved or rejected it; NULL where one operator was enough.
    decider text,
    decider_identity text,
    decision_reason text,
    decide_time timestamptz,
    transaction_id uuid,
    CONSTRAINT adjustment_pkey PRIMARY KEY (member_id, adjustment_id),
    CONSTRAINT adjustment_state_check CHECK (
        (state = 1) = (decide_time IS NULL) AND (state = 2) = (transaction_id IS NOT NULL)
    ),
    CONSTRAINT adjustment_decider_check CHECK (state <> 2 OR lower(decider) IS DISTINCT FROM lower(operator))
);
-- Whoever decides names the adjustment and not its member.
CREATE UNIQUE INDEX adjustment_id_key ON adjustment (adjustment_id);
CREATE INDEX adjustment_state_key ON adjustment (state, adjustment_id);
GRANT SELECT, INSERT, UPDATE ON adjustment TO {role};
