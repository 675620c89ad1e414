-- Refunds.

-- name: get_paid
-- The checkout is locked already.
SELECT
    lines_minor, cash_minor, points, refunded_lines_minor, refunded_cash_minor, refunded_points,
    refund_count
FROM checkout
WHERE checkout_id = $1

-- name: get_lines
SELECT line_id, category, quantity, unit_price_minor, refunded_quantity
FROM line
WHERE checkout_id = $1
ORDER BY place

-- name: get_lines_before
-- The lines as a refund found them, each with what went back of it by that one.
SELECT
    line.place, line.line_id, line.category, line.quantity, line.unit_price_minor,
    coalesce(sum(back.quantity) FILTER (WHERE back.refund_number < $2), 0)::bigint AS refunded_quantity,
    coalesce(sum(back.quantity) FILTER (WHERE back.refund_number = $2), 0)::bigint AS quantity_now
FROM line
LEFT JOIN refund_line AS back ON back.checkout_id = line.checkout_id AND back.place = line.place
WHERE line.checkout_id = $1
GROUP BY line.checkout_id, line.place
ORDER BY line.place

-- name: add_refund
INSERT INTO refund (
    checkout_id, refund_number, refund_id, request_id, cash_minor, points, complete, create_time,
    sweep_time
)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)

-- name: add_refund_lines
INSERT INTO refund_line (checkout_id, refund_number, place, quantity)
SELECT $1, $2, place, quantity
FROM unnest($3::smallint[], $4::bigint[]) AS t (place, quantity)

-- name: note_refunded_lines
UPDATE line
SET refunded_quantity = refunded_quantity + t.quantity
FROM unnest($2::smallint[], $3::bigint[]) AS t (place, quantity)
WHERE line.checkout_id = $1 AND line.place = t.place

-- name: note_refunded
UPDATE checkout
SET
    refunded_lines_minor = refunded_lines_minor + $2,
    refunded_cash_minor = refunded_cash_minor + $3,
    refunded_points = refunded_points + $4,
    refund_count = refund_count + 1,
    update_time = $5
WHERE checkout_id = $1

-- name: find_refund
SELECT refund_number FROM refund WHERE checkout_id = $1 AND request_id = $2

-- name: get_refund
-- The checkout is locked already, and with it its refunds.
SELECT
    refund.checkout_id, refund.refund_number AS number, checkout.member_id, checkout.order_id,
    checkout.hold_id, checkout.accrual_id, checkout.currency, checkout.currency_digits AS digits,
    checkout.program_version, refund.cash_minor, refund.points, refund.reversed_points,
    refund.complete, coalesce(nullif(accrue.survivor_id, ''), checkout.member_id) AS accrual_member_id,
    checkout.cash_minor AS paid_minor, checkout.earns_by_line
FROM refund
INNER JOIN checkout ON checkout.checkout_id = refund.checkout_id
LEFT JOIN step AS accrue
    ON accrue.checkout_id = refund.checkout_id AND accrue.refund_number = 0 AND accrue.step = 'accrue'
WHERE refund.checkout_id = $1 AND refund.refund_number = $2

-- name: set_refund
UPDATE refund
SET points = $3, reversed_points = $4, complete = $5, sweep_time = $6, sweep_count = 0
WHERE checkout_id = $1 AND refund_number = $2

-- name: touch_checkout
UPDATE checkout SET update_time = $2 WHERE checkout_id = $1

-- name: take_due_refunds
-- See take_due_checkouts.
WITH due AS (
    SELECT checkout_id, refund_number
    FROM refund
    WHERE sweep_time <= $1
    ORDER BY sweep_time
    LIMIT $2
    FOR UPDATE SKIP LOCKED
)

UPDATE refund
SET
    sweep_time = $1 + $3::interval * power(2, least(sweep_count, 5)),
    sweep_count = sweep_count + 1
FROM due
WHERE refund.checkout_id = due.checkout_id AND refund.refund_number = due.refund_number
RETURNING refund.checkout_id, refund.refund_number
