-- Members who share a pool of points: an account of its own (state 4), under the id of the household.
CREATE TABLE household (
    household_id text NOT NULL,
    name text NOT NULL,
    -- 1 open, 2 dissolved.
    state smallint NOT NULL,
    create_time timestamptz NOT NULL,
    CONSTRAINT household_pkey PRIMARY KEY (household_id)
);

CREATE TABLE household_member (
    household_id text NOT NULL,
    member_id text NOT NULL,
    -- 1 owner, 2 adult, 3 child.
    role smallint NOT NULL,
    -- What a child may spend in a calendar month; 0 for any other.
    month_points_max bigint NOT NULL,
    join_time timestamptz NOT NULL,
    -- NULL while they are in it.
    leave_time timestamptz,
    CONSTRAINT household_member_pkey PRIMARY KEY (household_id, member_id)
);
CREATE UNIQUE INDEX household_member_one ON household_member (member_id) WHERE leave_time IS NULL;

-- Who changed what in a household, and when. Never changed.
CREATE TABLE household_action (
    household_id text NOT NULL,
    action_id uuid NOT NULL,
    -- 1 created, 2 joined, 3 changed, 4 left, 5 dissolved.
    kind smallint NOT NULL,
    member_id text NOT NULL,
    role smallint NOT NULL,
    month_points_max bigint NOT NULL,
    acting_member_id text NOT NULL,
    identity text NOT NULL,
    create_time timestamptz NOT NULL,
    CONSTRAINT household_action_pkey PRIMARY KEY (household_id, action_id)
);

-- Points that went into a pool (above 0) or back out of it (below 0), with the transactions of both sides.
CREATE TABLE pool_move (
    household_id text NOT NULL,
    pool_transaction_id uuid NOT NULL,
    member_id text NOT NULL,
    member_transaction_id uuid NOT NULL,
    points bigint NOT NULL,
    create_time timestamptz NOT NULL,
    CONSTRAINT pool_move_pkey PRIMARY KEY (household_id, pool_transaction_id)
);

-- Who holds points of a pool, and for which month's limit it counts: its first day in the program's zone.
CREATE TABLE pool_hold (
    household_id text NOT NULL,
    hold_id uuid NOT NULL,
    member_id text NOT NULL,
    month date NOT NULL,
    CONSTRAINT pool_hold_pkey PRIMARY KEY (household_id, hold_id)
);
CREATE INDEX pool_hold_month ON pool_hold (household_id, member_id, month);

GRANT SELECT, INSERT, UPDATE ON household, household_member TO {role};
GRANT SELECT, INSERT ON household_action, pool_move, pool_hold TO {role};
