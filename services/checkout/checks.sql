-- Invariants of checkouts, for `laurel check`: every row that a statement returns is a violation.

-- check: the lines and discounts of a checkout sum up to its price
SELECT c.checkout_id, c.lines_minor, c.discount_minor, l.lines_minor AS lines, d.discount_minor AS discounts
FROM checkout.checkout AS c
CROSS JOIN LATERAL (
    SELECT coalesce(sum(quantity * unit_price_minor), 0) AS lines_minor
    FROM checkout.line WHERE line.checkout_id = c.checkout_id
) AS l
CROSS JOIN LATERAL (
    SELECT coalesce(sum(discount_minor), 0) AS discount_minor
    FROM checkout.discount WHERE discount.checkout_id = c.checkout_id
) AS d
WHERE l.lines_minor <> c.lines_minor OR d.discount_minor <> c.discount_minor

-- check: what went back of a checkout is what its refunds gave back
SELECT c.checkout_id, c.refund_count, c.refunded_cash_minor, r.cash_minor, c.refunded_points, r.points
FROM checkout.checkout AS c
CROSS JOIN LATERAL (
    SELECT count(*) AS refund_count, coalesce(sum(cash_minor), 0) AS cash_minor, coalesce(sum(points), 0) AS points
    FROM checkout.refund WHERE refund.checkout_id = c.checkout_id
) AS r
WHERE (c.refund_count, c.refunded_cash_minor) <> (r.refund_count, r.cash_minor)
OR c.refunded_points < r.points
-- A refund whose points were refused by the ledger shows none; also where it was told later that they had gone back.
OR c.refunded_points > r.points AND NOT EXISTS (
    SELECT FROM checkout.step INNER JOIN checkout.refund USING (checkout_id, refund_number)
    WHERE step.checkout_id = c.checkout_id AND step.step = 'refund_points' AND refund.points = 0
)

-- check: what went back of a checkout is what went back of its lines, at their prices
SELECT c.checkout_id, c.refunded_lines_minor, l.refunded_minor
FROM checkout.checkout AS c
CROSS JOIN LATERAL (
    SELECT coalesce(sum(refunded_quantity * unit_price_minor), 0) AS refunded_minor
    FROM checkout.line WHERE line.checkout_id = c.checkout_id
) AS l
WHERE c.refunded_lines_minor <> l.refunded_minor

-- check: what went back of a line is what the refunds name of it
SELECT line.checkout_id, line.line_id, line.refunded_quantity, r.quantity
FROM checkout.line
LEFT JOIN (
    SELECT checkout_id, place, sum(quantity) AS quantity
    FROM checkout.refund_line GROUP BY checkout_id, place
) AS r ON r.checkout_id = line.checkout_id AND r.place = line.place
WHERE line.refunded_quantity <> coalesce(r.quantity, 0)

-- check: a checkout that went back as a whole gave back all that was paid
SELECT checkout_id, cash_minor, refunded_cash_minor, points, refunded_points
FROM checkout.checkout AS c
WHERE c.refund_count > 0
AND (c.refunded_cash_minor <> c.cash_minor OR c.refunded_points <> c.points)
AND NOT EXISTS (
    SELECT FROM checkout.line
    WHERE line.checkout_id = c.checkout_id AND line.refunded_quantity < line.quantity
)

-- check: a completed checkout has spent what it was to be paid with
SELECT c.checkout_id, needed.step
FROM checkout.checkout AS c
CROSS JOIN LATERAL (
    VALUES ('hold', c.points > 0), ('capture', c.points > 0),
    ('reserve', cardinality(c.coupon_ids) > 0), ('redeem', cardinality(c.coupon_ids) > 0)
) AS needed (step, is_needed)
WHERE c.state = 'COMPLETED' AND needed.is_needed
AND NOT EXISTS (
    SELECT FROM checkout.step
    WHERE step.checkout_id = c.checkout_id AND step.refund_number = 0
    AND step.step = needed.step AND step.mark = 'DONE'
)

-- check: a cancelled checkout holds nothing
SELECT made.checkout_id, made.step
FROM checkout.step AS made
INNER JOIN checkout.checkout AS c ON c.checkout_id = made.checkout_id
INNER JOIN (
    VALUES ('hold', ARRAY['release_hold', 'undo_capture']),
    ('capture', ARRAY['undo_capture']),
    ('reserve', ARRAY['release_reservation'])
) AS undoing (step, undone_by) ON undoing.step = made.step
WHERE c.state = 'CANCELLED' AND made.refund_number = 0
AND (
    made.mark = 'STARTED'
    OR made.mark = 'DONE' AND NOT EXISTS (
        SELECT FROM checkout.step AS undo
        WHERE undo.checkout_id = made.checkout_id AND undo.refund_number = 0
        AND undo.step = ANY(undoing.undone_by) AND undo.mark <> 'STARTED'
    )
)

-- check: what has come to rest has no step under way
SELECT step.checkout_id, step.refund_number, step.step
FROM checkout.step
INNER JOIN checkout.checkout AS c ON c.checkout_id = step.checkout_id
LEFT JOIN checkout.refund AS r
    ON r.checkout_id = step.checkout_id AND r.refund_number = step.refund_number
WHERE step.mark = 'STARTED'
AND CASE
    WHEN step.refund_number = 0
        THEN c.state IN ('QUOTED', 'AUTHORIZED', 'COMPLETED', 'CANCELLED')
    ELSE r.complete
END

-- check: what pays for a completed checkout is spent in the ledger, and its coupons are used
-- The hold is the member's, or is with whoever it went to by the merges that stand.
SELECT c.checkout_id, c.points, h.captured, h.state AS hold_state, r.state AS reservation_state
FROM checkout.checkout AS c
LEFT JOIN points.hold AS h ON h.hold_id::text = c.hold_id
LEFT JOIN benefits.reservation AS r ON r.member_id = c.member_id AND r.reservation_id::text = c.reservation_id
WHERE c.state = 'COMPLETED'
AND (
    c.points > 0 AND (h.captured, h.state) IS DISTINCT FROM (c.points, 2::smallint)
    OR c.points > 0 AND h.member_id <> c.member_id AND NOT EXISTS (
        WITH RECURSIVE owner AS (
            SELECT c.member_id
            UNION
            SELECT m.member_id
            FROM owner AS o
            INNER JOIN points.merge AS m ON m.merged_member_id = o.member_id AND m.undo_time IS NULL
            INNER JOIN points.merge_hold AS moved
                ON moved.member_id = m.member_id AND moved.merge_id = m.merge_id AND moved.hold_id = h.hold_id
        )
        SELECT FROM owner WHERE owner.member_id = h.member_id
    )
    OR cardinality(c.coupon_ids) > 0 AND r.state IS DISTINCT FROM 'REDEEMED'
)

-- check: what a checkout has reserved and paid with are the coupons of its price
SELECT c.checkout_id, c.coupon_ids, i.entitlement_ids
FROM checkout.checkout AS c
CROSS JOIN LATERAL (
    SELECT coalesce(array_agg(item.entitlement_id::text ORDER BY item.entitlement_id::text), '{}') AS entitlement_ids
    FROM benefits.reservation_item AS item
    WHERE item.member_id = c.member_id AND item.reservation_id::text = c.reservation_id
) AS i
WHERE c.reservation_id <> ''
AND i.entitlement_ids <> ARRAY(SELECT id FROM unnest(c.coupon_ids) AS t (id) ORDER BY id)

-- check: a step is done if and only if it has taken effect under its request id
SELECT step.checkout_id, step.refund_number, step.step, step.mark
FROM checkout.step
LEFT JOIN points.request AS p ON p.request_id = step.request_id
LEFT JOIN benefits.request AS b ON b.request_id = step.request_id
WHERE step.mark <> 'STARTED'
AND (step.mark = 'DONE') <> CASE
    WHEN step.step IN ('reserve', 'redeem', 'release_reservation') THEN b.request_id IS NOT NULL
    ELSE p.request_id IS NOT NULL
END

-- check: what a checkout tells of an accrual and of its refunds is what the ledger has booked for them
SELECT step.checkout_id, step.refund_number, step.step, t.transaction_id, t.points
FROM checkout.step
INNER JOIN checkout.checkout AS c ON c.checkout_id = step.checkout_id
LEFT JOIN checkout.refund AS f
    ON f.checkout_id = step.checkout_id AND f.refund_number = step.refund_number
INNER JOIN points.transaction AS t ON t.request_id = step.request_id
WHERE step.mark = 'DONE'
AND CASE step.step
    WHEN 'accrue'
        THEN (t.transaction_id::text, (t.explanation ->> 'spend')::bigint)
            IS DISTINCT FROM (c.accrual_id, c.cash_minor)
    WHEN 'refund_points' THEN t.points[1] IS DISTINCT FROM f.points AND NOT (f.complete AND f.points = 0)
    WHEN 'reverse_accrual'
        THEN ((SELECT coalesce(sum(p), 0) FROM unnest(t.points) AS u (p)), (t.explanation ->> 'spend')::bigint)
            IS DISTINCT FROM (
                f.reversed_points,
                -- Of lines whose parts are rounded each for itself; in the end they come to the same.
                CASE WHEN c.earns_by_line THEN (t.explanation ->> 'spend')::bigint ELSE f.cash_minor END
            )
    ELSE false
END

-- check: points pay for a checkout what the ledger has promised for them
SELECT c.checkout_id, c.points, c.points_minor, t.explanation -> 'hold' -> 'value' AS promised
FROM checkout.checkout AS c
INNER JOIN points.transaction AS t ON t.hold_id::text = c.hold_id AND t.kind = 3
WHERE c.boosted_points IS NOT NULL AND (t.explanation -> 'hold' ->> 'value')::bigint <> c.points_minor

-- check: a cancelled checkout leaves no open hold, no open reservation, no coupon used and no points spent
SELECT c.checkout_id, h.state AS hold_state, h.captured, h.refunded, r.state AS reservation_state
FROM checkout.checkout AS c
LEFT JOIN points.hold AS h ON h.hold_id::text = c.hold_id
LEFT JOIN benefits.reservation AS r ON r.member_id = c.member_id AND r.reservation_id::text = c.reservation_id
WHERE c.state = 'CANCELLED' AND (h.state = 1 OR h.captured > h.refunded OR r.state <> 'RELEASED')

-- check: the points that complete refunds gave back are back in the ledger
SELECT c.checkout_id, f.points, h.refunded
FROM checkout.checkout AS c
INNER JOIN (
    SELECT checkout_id, sum(points) AS points FROM checkout.refund WHERE complete GROUP BY checkout_id
) AS f ON f.checkout_id = c.checkout_id
LEFT JOIN points.hold AS h ON h.hold_id::text = c.hold_id
WHERE f.points > coalesce(h.refunded, 0)
