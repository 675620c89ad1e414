-- Points of an accrual that were made up for in cash when it was returned.
ALTER TABLE accrual_return ADD COLUMN cash_points bigint NOT NULL DEFAULT 0
CONSTRAINT accrual_return_cash_points_check CHECK (cash_points >= 0);

-- What a return made a member owe. The account has what is left of all debts together; repayments go to the oldest, so that what is left
-- of one is worked out only when it is to be written off.
CREATE TABLE debt (
    member_id text NOT NULL,
    transaction_id uuid NOT NULL,
    points bigint NOT NULL CONSTRAINT debt_points_check CHECK (points > 0),
    -- NULL where it does not end.
    expire_time timestamptz,
    -- NULL where nothing is to be done any more.
    due_time timestamptz,
    written_off bigint NOT NULL DEFAULT 0 CONSTRAINT debt_written_off_check CHECK (written_off BETWEEN 0 AND points),
    CONSTRAINT debt_pkey PRIMARY KEY (member_id, transaction_id)
);
CREATE INDEX debt_due ON debt (due_time) WHERE due_time IS NOT NULL;
GRANT SELECT, INSERT, UPDATE ON debt TO {role};
