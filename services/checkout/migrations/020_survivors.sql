-- Who the member was merged into, as heard when a step was asked for; empty where it is asked for the member.
ALTER TABLE step ADD COLUMN survivor_id text NOT NULL DEFAULT '';
