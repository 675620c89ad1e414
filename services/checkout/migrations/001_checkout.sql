-- A checkout, from the quote on. Every call names the checkout and none asks across a member's checkouts: so the
-- checkout leads all keys here, and the tables can be distributed by it. Amounts are in minor units.
CREATE TABLE checkout (
    checkout_id uuid NOT NULL,
    member_id text NOT NULL,
    order_id text NOT NULL,
    state text NOT NULL,
    currency text NOT NULL,
    currency_digits smallint NOT NULL,
    program_version integer NOT NULL,
    lines_minor bigint NOT NULL,
    discount_minor bigint NOT NULL,
    points_max bigint NOT NULL,
    points bigint NOT NULL,
    points_minor bigint NOT NULL,
    cash_minor bigint NOT NULL,
    points_to_earn bigint NOT NULL,
    categories text [] NOT NULL,
    coupon_ids text [] NOT NULL,
    -- Device and address of the caller, for anti-fraud; emptied as soon as no step needs it any more.
    origin bytea NOT NULL,
    hold_id text NOT NULL DEFAULT '',
    reservation_id text NOT NULL DEFAULT '',
    accrual_id text NOT NULL DEFAULT '',
    hold_minutes integer NOT NULL,
    create_time timestamptz NOT NULL,
    update_time timestamptz NOT NULL,
    expire_time timestamptz NOT NULL,
    good_until_time timestamptz,
    complete_time timestamptz,
    failure_reason text NOT NULL DEFAULT '',
    failure_text text NOT NULL DEFAULT '',
    refunded_lines_minor bigint NOT NULL DEFAULT 0,
    refunded_cash_minor bigint NOT NULL DEFAULT 0,
    refunded_points bigint NOT NULL DEFAULT 0,
    refund_count integer NOT NULL DEFAULT 0,
    -- When the sweeper is to look at it; empty where it rests for good.
    sweep_time timestamptz,
    sweep_count integer NOT NULL DEFAULT 0,
    CONSTRAINT checkout_pkey PRIMARY KEY (checkout_id),
    CONSTRAINT checkout_state CHECK (
        state IN (
            'QUOTED', 'AUTHORIZING', 'AUTHORIZED', 'COMPLETING', 'COMPLETED', 'CANCELLING',
            'CANCELLED'
        )
    ),
    CONSTRAINT checkout_sum CHECK (lines_minor - discount_minor = points_minor + cash_minor),
    CONSTRAINT checkout_amounts CHECK (
        lines_minor BETWEEN 0 AND 1000000000000000
        AND discount_minor >= 0 AND points_minor >= 0 AND cash_minor >= 0
        AND points >= 0 AND points_max >= points AND points_to_earn >= 0
    ),
    -- What is paid with was set aside first.
    CONSTRAINT checkout_hold CHECK (
        points = 0 OR hold_id <> '' OR state NOT IN ('AUTHORIZED', 'COMPLETING', 'COMPLETED')
    ),
    CONSTRAINT checkout_reservation CHECK (
        cardinality(coupon_ids) = 0 OR reservation_id <> ''
        OR state NOT IN ('AUTHORIZED', 'COMPLETING', 'COMPLETED')
    ),
    CONSTRAINT checkout_complete CHECK (
        (complete_time IS NOT NULL) = (state IN ('COMPLETING', 'COMPLETED'))
    ),
    CONSTRAINT checkout_moves CHECK (
        sweep_time IS NOT NULL
        OR state NOT IN ('AUTHORIZING', 'AUTHORIZED', 'COMPLETING', 'CANCELLING')
    ),
    -- Never more than was paid.
    CONSTRAINT checkout_refunded CHECK (
        refunded_lines_minor BETWEEN 0 AND lines_minor
        AND refunded_cash_minor BETWEEN 0 AND cash_minor
        AND refunded_points BETWEEN 0 AND points
        AND refund_count BETWEEN 0 AND 100
        AND (refund_count = 0 OR state = 'COMPLETED')
    )
);
CREATE INDEX checkout_sweep ON checkout (sweep_time) WHERE sweep_time IS NOT NULL;

-- The lines of a cart.
CREATE TABLE line (
    checkout_id uuid NOT NULL,
    place smallint NOT NULL,
    line_id text NOT NULL,
    category text NOT NULL,
    quantity bigint NOT NULL,
    unit_price_minor bigint NOT NULL,
    refunded_quantity bigint NOT NULL DEFAULT 0,
    CONSTRAINT line_pkey PRIMARY KEY (checkout_id, place),
    CONSTRAINT line_line_id UNIQUE (checkout_id, line_id),
    CONSTRAINT line_checkout FOREIGN KEY (checkout_id) REFERENCES checkout (checkout_id),
    CONSTRAINT line_amounts CHECK (quantity >= 1 AND unit_price_minor >= 0),
    CONSTRAINT line_refunded CHECK (refunded_quantity BETWEEN 0 AND quantity)
);

-- What each benefit takes off, as quoted.
CREATE TABLE discount (
    checkout_id uuid NOT NULL,
    place smallint NOT NULL,
    entitlement_id text NOT NULL,
    benefit_id text NOT NULL,
    name text NOT NULL,
    applies boolean NOT NULL,
    discount_minor bigint NOT NULL,
    reason text NOT NULL,
    CONSTRAINT discount_pkey PRIMARY KEY (checkout_id, place),
    CONSTRAINT discount_checkout FOREIGN KEY (checkout_id) REFERENCES checkout (checkout_id),
    CONSTRAINT discount_amount CHECK (discount_minor >= 0 AND (applies OR discount_minor = 0))
);

-- The refunds of a checkout.
CREATE TABLE refund (
    checkout_id uuid NOT NULL,
    refund_number smallint NOT NULL,
    refund_id uuid NOT NULL,
    request_id text NOT NULL,
    cash_minor bigint NOT NULL,
    points bigint NOT NULL,
    reversed_points bigint NOT NULL DEFAULT 0,
    complete boolean NOT NULL,
    create_time timestamptz NOT NULL,
    sweep_time timestamptz,
    sweep_count integer NOT NULL DEFAULT 0,
    CONSTRAINT refund_pkey PRIMARY KEY (checkout_id, refund_number),
    CONSTRAINT refund_request UNIQUE (checkout_id, request_id),
    CONSTRAINT refund_checkout FOREIGN KEY (checkout_id) REFERENCES checkout (checkout_id),
    CONSTRAINT refund_amounts CHECK (cash_minor >= 0 AND points >= 0 AND reversed_points >= 0),
    CONSTRAINT refund_moves CHECK (complete = (sweep_time IS NULL))
);
CREATE INDEX refund_sweep ON refund (sweep_time) WHERE sweep_time IS NOT NULL;

CREATE TABLE refund_line (
    checkout_id uuid NOT NULL,
    refund_number smallint NOT NULL,
    place smallint NOT NULL,
    quantity bigint NOT NULL,
    CONSTRAINT refund_line_pkey PRIMARY KEY (checkout_id, refund_number, place),
    CONSTRAINT refund_line_refund FOREIGN KEY (checkout_id, refund_number)
    REFERENCES refund (checkout_id, refund_number),
    CONSTRAINT refund_line_line FOREIGN KEY (checkout_id, place) REFERENCES line (checkout_id, place),
    CONSTRAINT refund_line_quantity CHECK (quantity >= 1)
);

-- The log of remote steps: written before a step is tried and again when its outcome is known. Refund 0 is the checkout itself.
CREATE TABLE step (
    checkout_id uuid NOT NULL,
    refund_number smallint NOT NULL,
    step text NOT NULL,
    mark text NOT NULL,
    request_id text NOT NULL,
    made_id text NOT NULL DEFAULT '',
    reason text NOT NULL DEFAULT '',
    detail text NOT NULL DEFAULT '',
    start_time timestamptz NOT NULL,
    settle_time timestamptz,
    CONSTRAINT step_pkey PRIMARY KEY (checkout_id, refund_number, step),
    CONSTRAINT step_checkout FOREIGN KEY (checkout_id) REFERENCES checkout (checkout_id),
    CONSTRAINT step_mark CHECK (mark IN ('STARTED', 'DONE', 'REFUSED')),
    CONSTRAINT step_settle CHECK ((mark = 'STARTED') = (settle_time IS NULL))
);

GRANT SELECT, INSERT, UPDATE ON checkout, line, refund, step TO {role};
GRANT SELECT, INSERT ON discount, refund_line TO {role};
