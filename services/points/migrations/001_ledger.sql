-- The ledger. Accounts, lots and holds say how things stand; transactions say how it came about and are never changed.
-- The service's role may insert transactions and read them: no UPDATE, no DELETE.

-- One row per member: balances, kept and not summed, and what a posting needs to know about the member.
-- Its row lock is what serialises the writes of a member; it is always taken first, in the order of member_id.
CREATE TABLE account (
    member_id text NOT NULL,
    active bigint NOT NULL DEFAULT 0 CONSTRAINT account_active_check CHECK (active >= 0),
    pending bigint NOT NULL DEFAULT 0 CONSTRAINT account_pending_check CHECK (pending >= 0),
    held bigint NOT NULL DEFAULT 0 CONSTRAINT account_held_check CHECK (held >= 0),
    debt bigint NOT NULL DEFAULT 0 CONSTRAINT account_debt_check CHECK (debt >= 0),
    -- The member's tier as the tier service last said, and the instant it was decided for; NULL while it is not known.
    tier_id text,
    tier_time timestamptz,
    CONSTRAINT account_pkey PRIMARY KEY (member_id)
) WITH (fillfactor = 70);

-- A posting to the ledger: points[i] move from the account sources[i] to the account targets[i], so that the entries of a
-- transaction cannot fail to sum to 0. lot_points[i] is what it did to the lot lot_ids[i].
CREATE TABLE transaction (
    member_id text NOT NULL,
    transaction_id uuid NOT NULL,
    kind smallint NOT NULL,
    sources smallint[] NOT NULL,
    targets smallint[] NOT NULL,
    points bigint[] NOT NULL,
    lot_ids uuid[] NOT NULL,
    lot_points bigint[] NOT NULL,
    active_after bigint NOT NULL,
    pending_after bigint NOT NULL,
    held_after bigint NOT NULL,
    debt_after bigint NOT NULL,
    program_version integer NOT NULL,
    request_id text,
    order_id text,
    hold_id uuid,
    reversed_transaction_id uuid,
    occurred_time timestamptz NOT NULL,
    record_time timestamptz NOT NULL,
    explanation jsonb,
    CONSTRAINT transaction_pkey PRIMARY KEY (member_id, transaction_id),
    CONSTRAINT transaction_points_check CHECK (0 < ALL (points)),
    CONSTRAINT transaction_shape_check CHECK (
        cardinality(sources) = cardinality(points)
        AND cardinality(targets) = cardinality(points)
        AND cardinality(lot_ids) = cardinality(lot_points)
    )
) PARTITION BY RANGE (transaction_id);

-- Ids are UUIDs of version 7, which begin with the milliseconds since 1970: a month of history is a range of ids.
CREATE FUNCTION uuid7_floor(instant timestamptz) RETURNS uuid
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN (lpad(to_hex(floor(extract(epoch FROM instant) * 1000)::bigint), 12, '0') || repeat('0', 20))::uuid;

CREATE TABLE transaction_other PARTITION OF transaction DEFAULT;

-- Makes the partitions of this month and the two that follow. SECURITY DEFINER: the service's role may make no tables.
CREATE FUNCTION ensure_partitions(now_time timestamptz) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
    first_time timestamptz;
    name text;
    made integer := 0;
BEGIN
    FOR ahead IN 0..2 LOOP
        first_time := date_trunc('month', now_time AT TIME ZONE 'UTC') AT TIME ZONE 'UTC' + make_interval(months => ahead);
        name := 'transaction_' || to_char(first_time AT TIME ZONE 'UTC', 'YYYY_MM');
        IF to_regclass(name) IS NULL THEN
            BEGIN
                EXECUTE format(
                    'CREATE TABLE %I PARTITION OF transaction FOR VALUES FROM (%L) TO (%L)',
                    name, uuid7_floor(first_time), uuid7_floor(first_time + interval '1 month')
                );
                made := made + 1;
            EXCEPTION WHEN check_violation THEN
                -- History of that month stands in the default partition already, and is well kept there.
                RAISE NOTICE 'partition % is not made: transaction_other has rows of that month', name;
            END;
        END IF;
    END LOOP;
    RETURN made;
END $$;
SELECT ensure_partitions(now());

-- What one accrual left, with an expiry of its own.
CREATE TABLE lot (
    member_id text NOT NULL,
    lot_id uuid NOT NULL,
    transaction_id uuid NOT NULL,
    pending boolean NOT NULL,
    points bigint NOT NULL,
    remaining bigint NOT NULL,
    expired bigint NOT NULL DEFAULT 0,
    mature_time timestamptz,
    expire_time timestamptz,
    -- When something is next due for the lot: to mature, a warning, to expire. One index serves all scheduled work.
    due_time timestamptz,
    CONSTRAINT lot_pkey PRIMARY KEY (member_id, lot_id),
    CONSTRAINT lot_remaining_check CHECK (remaining >= 0 AND remaining + expired <= points)
) WITH (fillfactor = 80);
CREATE INDEX lot_open ON lot (member_id, expire_time, lot_id) INCLUDE (remaining) WHERE remaining > 0 AND NOT pending;
CREATE INDEX lot_due ON lot (due_time) WHERE remaining > 0 AND due_time IS NOT NULL;

-- Points set aside for an order.
CREATE TABLE hold (
    member_id text NOT NULL,
    hold_id uuid NOT NULL,
    points bigint NOT NULL,
    captured bigint NOT NULL DEFAULT 0,
    released bigint NOT NULL DEFAULT 0,
    refunded bigint NOT NULL DEFAULT 0,
    state smallint NOT NULL,
    order_id text NOT NULL,
    program_version integer NOT NULL,
    expire_time timestamptz NOT NULL,
    create_time timestamptz NOT NULL,
    CONSTRAINT hold_pkey PRIMARY KEY (member_id, hold_id),
    CONSTRAINT hold_points_check CHECK (
        captured >= 0 AND released >= 0 AND captured + released <= points AND refunded BETWEEN 0 AND captured
    ),
    CONSTRAINT hold_state_check CHECK ((state = 1) = (captured + released < points))
) WITH (fillfactor = 70);
CREATE UNIQUE INDEX hold_id_key ON hold (hold_id);
CREATE INDEX hold_due ON hold (expire_time) WHERE state = 1;

-- The lots that a hold drew from, in the order they were drawn.
CREATE TABLE hold_lot (
    member_id text NOT NULL,
    hold_id uuid NOT NULL,
    ordinal integer NOT NULL,
    lot_id uuid NOT NULL,
    points bigint NOT NULL,
    captured bigint NOT NULL DEFAULT 0,
    released bigint NOT NULL DEFAULT 0,
    refunded bigint NOT NULL DEFAULT 0,
    CONSTRAINT hold_lot_pkey PRIMARY KEY (member_id, hold_id, ordinal),
    CONSTRAINT hold_lot_points_check CHECK (
        points > 0 AND captured >= 0 AND released >= 0 AND captured + released <= points
        AND refunded BETWEEN 0 AND captured
    )
) WITH (fillfactor = 70);

-- How much of an accrual was taken back so far.
CREATE TABLE accrual_return (
    member_id text NOT NULL,
    transaction_id uuid NOT NULL,
    returned_minor bigint NOT NULL CHECK (returned_minor >= 0),
    reversed_points bigint NOT NULL CHECK (reversed_points >= 0),
    forgiven_points bigint NOT NULL CHECK (forgiven_points >= 0),
    CONSTRAINT accrual_return_pkey PRIMARY KEY (member_id, transaction_id)
);

GRANT SELECT, INSERT, UPDATE ON account, lot, hold, hold_lot, accrual_return TO {role};
GRANT SELECT, INSERT ON transaction TO {role};
GRANT EXECUTE ON FUNCTION ensure_partitions TO {role};
