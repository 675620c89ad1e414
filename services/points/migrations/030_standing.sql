-- The states of an account: 0 open, 1 frozen, 2 closed, 3 merged, 4 the pool of a household.
-- The account that a merged one lives on in; NULL for any other.
ALTER TABLE account ADD COLUMN merged_into text;

-- What operators decided about an account: who, why, when. Never changed.
CREATE TABLE account_action (
    member_id text NOT NULL,
    action_id uuid NOT NULL,
    -- 1 frozen, 2 unfrozen, 3 closed, 4 merged into another, 5 a merge into another undone.
    kind smallint NOT NULL,
    -- The person who decided, and the identity of the caller's certificate that vouches for the name.
    operator text NOT NULL,
    identity text NOT NULL,
    reason text NOT NULL,
    -- The transaction that moved the points; NULL where none moved.
    transaction_id uuid,
    create_time timestamptz NOT NULL,
    CONSTRAINT account_action_pkey PRIMARY KEY (member_id, action_id)
);
GRANT SELECT, INSERT ON account_action TO {role};
