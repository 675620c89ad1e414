-- The latest decision on a member's tier that was heard of: what comes late never overrules it.
CREATE TABLE member_tier (
    member_id text NOT NULL,
    tier_id text NOT NULL,
    cause_event_id uuid NOT NULL,
    occurred_time timestamptz NOT NULL,
    record_time timestamptz NOT NULL,
    CONSTRAINT member_tier_pkey PRIMARY KEY (member_id)
);

-- A benefit in the hands of a member, with the terms that it was given under.
CREATE TABLE entitlement (
    member_id text NOT NULL,
    entitlement_id uuid NOT NULL,
    benefit_id text NOT NULL,
    name text NOT NULL,
    kind text NOT NULL,
    state text NOT NULL,
    percent_off_e2 integer,
    amount_off_minor bigint,
    order_amount_min_minor bigint,
    currency text NOT NULL,
    currency_digits smallint NOT NULL,
    create_time timestamptz NOT NULL,
    expire_time timestamptz,
    cause_event_id uuid NOT NULL,
    program_version integer NOT NULL,
    order_id text NOT NULL DEFAULT '',
    CONSTRAINT entitlement_pkey PRIMARY KEY (member_id, entitlement_id),
    -- Never twice for one cause.
    CONSTRAINT entitlement_cause UNIQUE (member_id, benefit_id, cause_event_id),
    CONSTRAINT entitlement_state CHECK (
        state IN ('AVAILABLE', 'RESERVED', 'REDEEMED', 'EXPIRED', 'WITHDRAWN')
    ),
    -- A tier discount is used order after order and ends with the tier; a coupon is used once and ends by time.
    CONSTRAINT entitlement_kind CHECK (
        CASE kind
            WHEN 'TIER_DISCOUNT' THEN
                percent_off_e2 BETWEEN 1 AND 9000
                AND amount_off_minor IS NULL AND order_amount_min_minor IS NULL
                AND expire_time IS NULL AND state IN ('AVAILABLE', 'WITHDRAWN')
            WHEN 'UPGRADE_COUPON' THEN
                percent_off_e2 IS NULL
                AND amount_off_minor > 0 AND order_amount_min_minor >= 0
                AND expire_time > create_time AND state <> 'WITHDRAWN'
            ELSE false
        END
    ),
    -- An order holds it if and only if it is set aside or used.
    CONSTRAINT entitlement_order CHECK ((order_id <> '') = (state IN ('RESERVED', 'REDEEMED')))
);
CREATE INDEX entitlement_newest ON entitlement (member_id, create_time DESC, entitlement_id DESC);
-- One tier discount of a kind stands at a time.
CREATE UNIQUE INDEX entitlement_standing_discount ON entitlement (member_id, benefit_id)
WHERE kind = 'TIER_DISCOUNT' AND state = 'AVAILABLE';
CREATE INDEX entitlement_expire ON entitlement (expire_time)
WHERE kind = 'UPGRADE_COUPON' AND state = 'AVAILABLE';

-- Entitlements set aside for an order.
CREATE TABLE reservation (
    member_id text NOT NULL,
    reservation_id uuid NOT NULL,
    order_id text NOT NULL,
    state text NOT NULL,
    order_amount_minor bigint NOT NULL,
    currency text NOT NULL,
    currency_digits smallint NOT NULL,
    create_time timestamptz NOT NULL,
    expire_time timestamptz NOT NULL,
    end_time timestamptz,
    program_version integer NOT NULL,
    CONSTRAINT reservation_pkey PRIMARY KEY (member_id, reservation_id),
    CONSTRAINT reservation_member_state UNIQUE (member_id, reservation_id, state),
    CONSTRAINT reservation_state CHECK (state IN ('OPEN', 'REDEEMED', 'RELEASED')),
    CONSTRAINT reservation_end CHECK ((end_time IS NULL) = (state = 'OPEN')),
    CONSTRAINT reservation_order CHECK (order_id <> '' AND order_amount_minor >= 0)
);
-- Callers name a reservation without its member.
CREATE INDEX reservation_by_id ON reservation (reservation_id);
CREATE INDEX reservation_expire ON reservation (expire_time) WHERE state = 'OPEN';

-- What a reservation holds, with the discount that was promised for it.
CREATE TABLE reservation_item (
    member_id text NOT NULL,
    reservation_id uuid NOT NULL,
    entitlement_id uuid NOT NULL,
    position smallint NOT NULL,
    benefit_id text NOT NULL,
    single_use boolean NOT NULL,
    discount_minor bigint NOT NULL,
    state text NOT NULL,
    CONSTRAINT reservation_item_pkey PRIMARY KEY (member_id, reservation_id, entitlement_id),
    -- The state is always that of the reservation.
    CONSTRAINT reservation_item_reservation FOREIGN KEY (member_id, reservation_id, state)
    REFERENCES reservation (member_id, reservation_id, state) ON UPDATE CASCADE,
    CONSTRAINT reservation_item_entitlement FOREIGN KEY (member_id, entitlement_id)
    REFERENCES entitlement (member_id, entitlement_id),
    CONSTRAINT reservation_item_discount CHECK (discount_minor >= 0)
);
-- Single use: a coupon is in at most one reservation that is open or was redeemed.
CREATE UNIQUE INDEX reservation_item_single_use ON reservation_item (member_id, entitlement_id)
WHERE single_use AND state IN ('OPEN', 'REDEEMED');

GRANT SELECT, INSERT, UPDATE (tier_id, cause_event_id, occurred_time, record_time)
ON member_tier TO {role};
GRANT SELECT, INSERT, UPDATE (state, order_id) ON entitlement TO {role};
GRANT SELECT, INSERT, UPDATE (state, end_time) ON reservation TO {role};
GRANT SELECT, INSERT ON reservation_item TO {role};
