-- A lot that came out of a lot of another account, by a gift, a merge or a household. It keeps that one's expiry and accrual.
CREATE TABLE lot_origin (
    member_id text NOT NULL,
    lot_id uuid NOT NULL,
    source_member_id text NOT NULL,
    source_lot_id uuid NOT NULL,
    -- The transaction that moved the points here.
    transaction_id uuid NOT NULL,
    CONSTRAINT lot_origin_pkey PRIMARY KEY (member_id, lot_id)
);

-- A gift, by its giver.
CREATE TABLE gift (
    member_id text NOT NULL,
    transaction_id uuid NOT NULL,
    receiver_member_id text NOT NULL,
    received_transaction_id uuid NOT NULL,
    points bigint NOT NULL,
    fee_points bigint NOT NULL,
    -- First day of the calendar month, in the program's zone, whose limit it counts for.
    month date NOT NULL,
    create_time timestamptz NOT NULL,
    CONSTRAINT gift_pkey PRIMARY KEY (member_id, transaction_id),
    CONSTRAINT gift_points_check CHECK (fee_points >= 0 AND fee_points < points),
    CONSTRAINT gift_receiver_check CHECK (receiver_member_id <> member_id)
);
CREATE INDEX gift_month ON gift (member_id, month) INCLUDE (points);

-- What proves a donation.
CREATE TABLE donation (
    member_id text NOT NULL,
    certificate_id uuid NOT NULL,
    transaction_id uuid NOT NULL,
    points bigint NOT NULL CONSTRAINT donation_points_check CHECK (points > 0),
    amount_minor bigint NOT NULL,
    currency text NOT NULL,
    currency_digits smallint NOT NULL,
    cause text NOT NULL,
    create_time timestamptz NOT NULL,
    CONSTRAINT donation_pkey PRIMARY KEY (member_id, certificate_id)
);
-- Whoever was shown a certificate does not know the member.
CREATE UNIQUE INDEX donation_certificate_key ON donation (certificate_id);

GRANT SELECT, INSERT ON lot_origin, gift, donation TO {role};
