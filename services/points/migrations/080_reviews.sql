-- What was decided about operations under review: what waited for it is settled once, and what is booked later is booked by it.
CREATE TABLE review_verdict (
    member_id text NOT NULL,
    request_id text NOT NULL,
    is_legitimate boolean NOT NULL,
    -- Why, as the explanation of what settles it says.
    cause text NOT NULL,
    record_time timestamptz NOT NULL,
    -- The accrual that had waited, once it is settled, and the transaction that did it; NULL where nothing was left to book.
    accrual_transaction_id uuid,
    transaction_id uuid,
    settle_time timestamptz,
    CONSTRAINT review_verdict_pkey PRIMARY KEY (member_id, request_id),
    CONSTRAINT review_verdict_settled CHECK ((settle_time IS NULL) = (accrual_transaction_id IS NULL))
);
GRANT SELECT, INSERT, UPDATE ON review_verdict TO {role};
