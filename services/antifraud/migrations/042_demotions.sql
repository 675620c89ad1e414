-- A sixth kind of action: demote (6). The rows that are there meet the wider constraint: they met a narrower one.
-- The highest tier that the member counts as; empty for the lowest, and for other kinds.
ALTER TABLE action ADD COLUMN tier_id text NOT NULL DEFAULT '';
ALTER TABLE action ADD CONSTRAINT action_kind_range CHECK (kind BETWEEN 1 AND 6) NOT VALID;
-- squawk-ignore ban-drop-constraint
ALTER TABLE action DROP CONSTRAINT action_kind_known;
