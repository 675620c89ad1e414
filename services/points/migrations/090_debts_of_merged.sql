-- What was repaid of a debt when it was last counted: before the account is merged with another one, whose debts have an order of their
-- own.
-- Metadata alone: no row is rewritten, none is looked at.
ALTER TABLE debt ADD COLUMN repaid bigint NOT NULL DEFAULT 0;
ALTER TABLE debt ADD CONSTRAINT debt_repaid_check CHECK (repaid BETWEEN 0 AND points) NOT VALID;
-- Debts of merged accounts were closed against the balance of those, which was 0, and nothing was given up: they are looked at again.
UPDATE debt SET due_time = expire_time
WHERE
    due_time IS NULL AND expire_time IS NOT NULL AND written_off = 0
    AND member_id IN (SELECT merged_member_id FROM merge);
