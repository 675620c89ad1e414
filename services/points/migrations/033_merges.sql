-- A merge of an account into that of member_id, and how it was undone.
CREATE TABLE merge (
    member_id text NOT NULL,
    merge_id uuid NOT NULL,
    merged_member_id text NOT NULL,
    transaction_id uuid NOT NULL,
    merged_transaction_id uuid NOT NULL,
    active bigint NOT NULL,
    pending bigint NOT NULL,
    held bigint NOT NULL,
    debt bigint NOT NULL,
    hold_count integer NOT NULL,
    operator text NOT NULL,
    identity text NOT NULL,
    reason text NOT NULL,
    create_time timestamptz NOT NULL,
    undo_active bigint,
    undo_pending bigint,
    undo_held bigint,
    undo_debt bigint,
    undo_transaction_id uuid,
    undo_merged_transaction_id uuid,
    undo_operator text,
    undo_identity text,
    undo_reason text,
    undo_time timestamptz,
    CONSTRAINT merge_pkey PRIMARY KEY (member_id, merge_id),
    CONSTRAINT merge_members_check CHECK (member_id <> merged_member_id),
    CONSTRAINT merge_undo_check CHECK (undo_pending <= pending AND undo_held <= held AND undo_debt <= debt)
);
CREATE UNIQUE INDEX merge_id_key ON merge (merge_id);
CREATE INDEX merge_merged_key ON merge (merged_member_id, merge_id);
-- An account is merged into one other at a time.
CREATE UNIQUE INDEX merge_standing_key ON merge (merged_member_id) WHERE undo_time IS NULL;

-- The holds that a merge moved.
CREATE TABLE merge_hold (
    member_id text NOT NULL,
    merge_id uuid NOT NULL,
    hold_id uuid NOT NULL,
    CONSTRAINT merge_hold_pkey PRIMARY KEY (member_id, merge_id, hold_id)
);
GRANT SELECT, INSERT, UPDATE ON merge TO {role};
GRANT SELECT, INSERT ON merge_hold TO {role};
