-- What was repaid of a debt when it was last counted: before the account is merged with another one, whose debts have an order of their
-- own.
-- Metadata alone: no row is rewritten, none is looked at.
ALTER TABLE debt ADD COLUMN repaid bigint NOT NULL DEFAULT 0;
ALTER TABLE debt ADD CONSTRAINT debt_repaid_check CHECK (repaid BETWEEN 0 AND points) NOT VALID;
-- Debts whose end came while their account was merged were closed against its balance, which was 0, and nothing was given up: they are
-- looked at again.
UPDATE debt AS d SET due_time = d.expire_time
WHERE
    d.due_time IS NULL AND d.expire_time IS NOT NULL AND d.written_off = 0
    AND EXISTS (
        SELECT FROM merge AS m
        WHERE
            m.merged_member_id = d.member_id AND m.debt > 0 AND m.create_time <= d.expire_time
            AND (m.undo_time IS NULL OR d.expire_time < m.undo_time)
    );
