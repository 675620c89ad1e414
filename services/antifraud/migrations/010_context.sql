-- What an assessment was about, so that rules can be tried on it again and operators see it. Rows from before have none of it.
ALTER TABLE assessment
ADD COLUMN amount_minor bigint,
ADD COLUMN tier_id text NOT NULL DEFAULT '',
-- the contract's Operation.type
ADD COLUMN type text NOT NULL DEFAULT '',
ADD COLUMN order_id text NOT NULL DEFAULT '',
-- {channel, store, device, ip, card, staff, latitude, longitude, counterparty}, but for what is unknown; NULL where all of it is
ADD COLUMN context jsonb;
-- A fourth action, challenge. The rows that are there meet it: they met a narrower one.
ALTER TABLE assessment ADD CONSTRAINT assessment_action_range CHECK (action BETWEEN 1 AND 4) NOT VALID;
-- squawk-ignore ban-drop-constraint
ALTER TABLE assessment DROP CONSTRAINT assessment_action_known;
