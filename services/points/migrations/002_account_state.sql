-- Whether an account takes part: 0 open, 1 frozen, 2 closed, 3 merged into another.
ALTER TABLE account ADD COLUMN state smallint NOT NULL DEFAULT 0;
