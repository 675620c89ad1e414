-- Checkouts: quoting, moving from state to state, and showing them.

-- name: keep_answer
-- The first answer to a request stands.
UPDATE request
SET response = coalesce(response, $2)
WHERE request_id = $1
RETURNING response

-- name: add_checkout
INSERT INTO checkout (
    checkout_id, member_id, order_id, state, currency, currency_digits, program_version,
    lines_minor, discount_minor, points_max, points, points_minor, cash_minor, points_to_earn,
    categories, coupon_ids, origin, hold_minutes, create_time, update_time, expire_time,
    sweep_time, boosted_points, promotion_window, earns_by_line
)
VALUES (
    $1, $2, $3, 'QUOTED', $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $18,
    $19, CASE WHEN $16::bytea <> '' THEN $19::timestamptz END, $20, $21, $22
)

-- name: add_lines
INSERT INTO line (checkout_id, place, line_id, category, quantity, unit_price_minor)
SELECT $1, place - 1, line_id, category, quantity, unit_price_minor
FROM unnest($2::text[], $3::text[], $4::bigint[], $5::bigint[])
WITH ORDINALITY AS t (line_id, category, quantity, unit_price_minor, place)

-- name: add_discounts
INSERT INTO discount (
    checkout_id, place, entitlement_id, benefit_id, name, applies, discount_minor, reason
)
SELECT $1, place - 1, entitlement_id, benefit_id, name, applies, discount_minor, reason
FROM unnest($2::text[], $3::text[], $4::text[], $5::boolean[], $6::bigint[], $7::text[])
WITH ORDINALITY AS t (entitlement_id, benefit_id, name, applies, discount_minor, reason, place)

-- name: lock_checkout
SELECT
    checkout_id, member_id, order_id, state, currency, currency_digits AS digits, program_version,
    lines_minor, lines_minor - discount_minor AS due_minor, points, cash_minor, categories,
    coupon_ids, origin, hold_id, reservation_id, accrual_id, hold_minutes, expire_time,
    good_until_time, complete_time, failure_reason, failure_text,
    CASE WHEN boosted_points IS NOT NULL THEN points_minor END AS expected_minor, earns_by_line
FROM checkout
WHERE checkout_id = $1
FOR UPDATE

-- name: get_steps
-- A statement of its own, after the lock: only so does it see what the one before us has written.
SELECT step, mark, survivor_id
FROM step
WHERE checkout_id = $1 AND refund_number = $2

-- name: set_marks
INSERT INTO step (
    checkout_id, refund_number, step, mark, request_id, made_id, reason, detail, start_time,
    settle_time
)
SELECT
    $1, $2, step, mark, request_id, made_id, reason, detail, $9,
    CASE WHEN mark <> 'STARTED' THEN $9::timestamptz END
FROM unnest($3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[])
AS t (step, mark, request_id, made_id, reason, detail)
ON CONFLICT (checkout_id, refund_number, step) DO UPDATE
SET mark = excluded.mark,
made_id = excluded.made_id,
reason = excluded.reason,
detail = excluded.detail,
settle_time = excluded.settle_time

-- name: note_survivor
UPDATE step SET survivor_id = $4
WHERE checkout_id = $1 AND refund_number = $2 AND step = $3

-- name: set_checkout
UPDATE checkout
SET
    state = $2,
    origin = $3,
    hold_id = $4,
    reservation_id = $5,
    accrual_id = $6,
    expire_time = $7,
    good_until_time = $8,
    complete_time = $9,
    failure_reason = $10,
    failure_text = $11,
    update_time = $12,
    sweep_time = $13,
    sweep_count = 0
WHERE checkout_id = $1

-- name: get_checkout
-- One statement, so that all of it is from one instant. JSON holds whole numbers exactly.
SELECT
    checkout_id, member_id, order_id, state, currency, currency_digits, program_version,
    lines_minor, points_max, points, points_minor, cash_minor, points_to_earn, hold_id,
    reservation_id, accrual_id, failure_reason, create_time, update_time, expire_time,
    coalesce(boosted_points, 0) AS boosted_points, coalesce(promotion_window, '') AS promotion_window,
    (
        SELECT
            coalesce(json_agg(json_build_array(
                line_id, category, quantity, unit_price_minor, refunded_quantity
            ) ORDER BY place), '[]')
        FROM line
        WHERE line.checkout_id = checkout.checkout_id
    ) AS lines,
    (
        SELECT
            coalesce(json_agg(json_build_array(
                entitlement_id, benefit_id, name, applies, discount_minor, reason
            ) ORDER BY place), '[]')
        FROM discount
        WHERE discount.checkout_id = checkout.checkout_id
    ) AS discounts,
    (
        SELECT
            coalesce(json_agg(json_build_array(
                refund_number, refund_id, cash_minor, points, reversed_points, complete,
                (extract(EPOCH FROM create_time) * 1000000)::bigint,
                (
                    SELECT json_agg(json_build_array(place, quantity) ORDER BY place)
                    FROM refund_line
                    WHERE refund_line.checkout_id = refund.checkout_id
                    AND refund_line.refund_number = refund.refund_number
                )
            ) ORDER BY refund_number), '[]')
        FROM refund
        WHERE refund.checkout_id = checkout.checkout_id
    ) AS refunds
FROM checkout
WHERE checkout_id = $1

-- name: take_due_checkouts
-- Leases those that are due; one that fails comes again later and later, so that it cannot starve the others.
WITH due AS (
    SELECT checkout_id
    FROM checkout
    WHERE sweep_time <= $1
    ORDER BY sweep_time
    LIMIT $2
    FOR UPDATE SKIP LOCKED
)

UPDATE checkout
SET
    sweep_time = $1 + $3::interval * power(2, least(sweep_count, 5)),
    sweep_count = sweep_count + 1
FROM due
WHERE checkout.checkout_id = due.checkout_id
RETURNING checkout.checkout_id
