-- The highest tier that a member counts as while an action of anti-fraud is in force, as its events tell. They may come in any order, so
-- that a lift may be noted before what it lifts.
CREATE TABLE ceiling (
    member_id text NOT NULL,
    action_id uuid NOT NULL,
    -- Empty for the lowest; of that version of the program.
    tier_id text NOT NULL,
    program_version integer NOT NULL,
    -- The tier that the member had earned when it was heard of, and the version that has it: where they go on once it is lifted.
    earned_tier_id text NOT NULL,
    earned_version integer NOT NULL,
    take_time timestamptz,
    lift_time timestamptz,
    CONSTRAINT ceiling_pkey PRIMARY KEY (member_id, action_id),
    CONSTRAINT ceiling_member_id_fkey FOREIGN KEY (member_id) REFERENCES member (member_id),
    CONSTRAINT ceiling_is_told_of CHECK (take_time IS NOT NULL OR lift_time IS NOT NULL)
);
-- The latest instant that others were told a tier of: what is told later must not look older. Unknown for who was told of none since.
ALTER TABLE member ADD COLUMN told_time timestamptz;
CREATE INDEX ceiling_in_force ON ceiling (member_id) WHERE lift_time IS NULL;
GRANT SELECT, INSERT, UPDATE ON ceiling TO {role};
