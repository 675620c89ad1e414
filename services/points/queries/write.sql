-- The write path: look up, lock, load, write. Every statement is set-based; rows of a member are only touched under the lock of its account.

-- name: find_requests
SELECT request_id, method, content_hash, response
FROM request
WHERE request_id = ANY($1::text[])

-- name: find_accounts
-- By what is said of them, as that is the same of many. The members are taken apart once, also where the planner reads the whole table.
SELECT tier_id, debt > 0 OR state > 0 AS is_special, array_agg(member_id) AS member_ids
FROM account
WHERE member_id = ANY((SELECT split_texts($1::text))::text[])
GROUP BY tier_id, is_special

-- name: find_holds
SELECT hold_id, member_id, program_version
FROM hold
WHERE hold_id = ANY($1::uuid[])

-- name: open_accounts
INSERT INTO account (member_id)
SELECT member_id FROM unnest($1::text[]) AS asked (member_id)
ORDER BY member_id
ON CONFLICT (member_id) DO NOTHING

-- name: lock_accounts
SELECT member_id, active, pending, held, debt, state, merged_into, restriction, frozen_time
FROM account
WHERE member_id = ANY($1::text[])
ORDER BY member_id
FOR UPDATE

-- name: load_open_lots
-- For each member the lots that expire first and that together hold what is asked for, at least. Only lots that every command
-- of the batch may draw from count for that; what some of them may use (see usable_after) comes on top.
SELECT lot.*
FROM unnest($1::text[], $2::bigint[], $3::timestamptz[], $4::timestamptz[])
    AS asked (member_id, points, usable_after, usable_by_all_after)
CROSS JOIN LATERAL (
    SELECT
        l.member_id, l.lot_id, l.transaction_id, l.pending, l.points, l.remaining, l.expired,
        l.mature_time, l.expire_time, l.due_time,
        coalesce(
            sum(l.remaining) FILTER (WHERE l.expire_time IS NULL OR l.expire_time > asked.usable_by_all_after)
                OVER (ORDER BY l.expire_time, l.lot_id ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING),
            0
        ) AS before
    FROM lot AS l
    WHERE
        l.member_id = asked.member_id AND l.remaining > 0 AND NOT l.pending
        AND (l.expire_time IS NULL OR l.expire_time > asked.usable_after)
) AS lot
WHERE lot.before < asked.points
ORDER BY lot.member_id, lot.expire_time, lot.lot_id

-- name: load_lots
SELECT
    l.member_id, l.lot_id, l.transaction_id, l.pending, l.points, l.remaining, l.expired,
    l.mature_time, l.expire_time, l.due_time
FROM unnest($1::text[], $2::uuid[]) AS asked (member_id, lot_id)
INNER JOIN lot AS l USING (member_id, lot_id)

-- name: load_holds
SELECT
    h.member_id, h.hold_id, h.points, h.captured, h.released, h.refunded, h.state, h.order_id, h.program_version,
    h.expire_time, h.create_time, h.window_member_id, h.window_name, h.window_day, h.window_points
FROM unnest($1::text[], $2::uuid[]) AS asked (member_id, hold_id)
INNER JOIN hold AS h USING (member_id, hold_id)

-- name: load_hold_lots
SELECT l.member_id, l.hold_id, l.ordinal, l.lot_id, l.points, l.captured, l.released, l.refunded
FROM unnest($1::text[], $2::uuid[]) AS asked (member_id, hold_id)
INNER JOIN hold_lot AS l USING (member_id, hold_id)
ORDER BY l.member_id, l.hold_id, l.ordinal

-- name: load_accruals
-- An accrual of a member who was merged is found under the survivor, too; those come last.
WITH RECURSIVE owner AS (
    SELECT member_id, transaction_id, member_id AS booked_member_id
    FROM unnest($1::text[], $2::uuid[]) AS asked (member_id, transaction_id)
    UNION
    SELECT o.member_id, o.transaction_id, m.merged_member_id
    FROM owner AS o
    INNER JOIN merge AS m ON m.member_id = o.booked_member_id AND m.undo_time IS NULL
)
SELECT
    o.member_id, t.transaction_id, t.kind, t.order_id, t.occurred_time, t.program_version, t.explanation,
    coalesce(r.returned_minor, 0) AS returned_minor,
    coalesce(r.reversed_points, 0) AS reversed_points,
    coalesce(r.forgiven_points, 0) AS forgiven_points,
    o.booked_member_id,
    r.kept_lines,
    coalesce(r.cash_points, 0) AS cash_points,
    coalesce(v.is_legitimate AND v.settle_time IS NOT NULL, false) AS settled,
    r.transaction_id IS NOT NULL AS returned
FROM owner AS o
INNER JOIN transaction AS t ON t.member_id = o.booked_member_id AND t.transaction_id = o.transaction_id
LEFT JOIN accrual_return AS r ON r.member_id = t.member_id AND r.transaction_id = t.transaction_id
LEFT JOIN review_verdict AS v ON v.member_id = t.member_id AND v.request_id = t.request_id
ORDER BY o.member_id = o.booked_member_id DESC

-- name: load_accrual_lots
-- For each member who is asked for the lots of an accrual, with those of members who were merged into them: these are empty, and tell what
-- has expired of them before. Lots of anybody else that stem from it were given away.
WITH RECURSIVE owner AS (
    SELECT member_id, transaction_id, member_id AS asked_member_id
    FROM unnest($1::text[], $2::uuid[]) AS asked (member_id, transaction_id)
    UNION
    SELECT m.merged_member_id, o.transaction_id, o.asked_member_id
    FROM owner AS o
    INNER JOIN merge AS m ON m.member_id = o.member_id AND m.undo_time IS NULL
)
SELECT
    l.member_id, l.lot_id, l.transaction_id, l.pending, l.points, l.remaining, l.expired,
    l.mature_time, l.expire_time, l.due_time, o.asked_member_id
FROM owner AS o
INNER JOIN lot AS l USING (member_id, transaction_id)
ORDER BY l.member_id, l.expire_time, l.lot_id

-- name: insert_transactions
INSERT INTO transaction (
    member_id, transaction_id, kind, sources, targets, points, lot_ids, lot_points,
    active_after, pending_after, held_after, debt_after, program_version, request_id, order_id, hold_id,
    reversed_transaction_id, occurred_time, record_time, explanation
)
SELECT
    member_id, transaction_id, kind, sources::smallint[], targets::smallint[], points::bigint[], lot_ids::uuid[],
    lot_points::bigint[], active_after, pending_after, held_after, debt_after, program_version, request_id, order_id,
    hold_id, reversed_transaction_id, occurred_time, $19::timestamptz, explanation
FROM unnest(
    $1::text[], $2::uuid[], $3::smallint[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[],
    $9::bigint[], $10::bigint[], $11::bigint[], $12::bigint[], $13::integer[], $14::text[], $15::text[], $16::uuid[],
    $17::uuid[], $18::timestamptz[], $20::jsonb[]
) AS t (
    member_id, transaction_id, kind, sources, targets, points, lot_ids, lot_points,
    active_after, pending_after, held_after, debt_after, program_version, request_id, order_id, hold_id,
    reversed_transaction_id, occurred_time, explanation
)

-- name: insert_lots
INSERT INTO lot (
    member_id, lot_id, transaction_id, pending, points, remaining, expired, mature_time, expire_time, due_time
)
SELECT *
FROM unnest(
    $1::text[], $2::uuid[], $3::uuid[], $4::boolean[], $5::bigint[], $6::bigint[], $7::bigint[],
    $8::timestamptz[], $9::timestamptz[], $10::timestamptz[]
)

-- name: update_lots
UPDATE lot AS l
SET pending = c.pending, remaining = c.remaining, expired = c.expired, due_time = c.due_time, mature_time = c.mature_time
FROM unnest($1::text[], $2::uuid[], $3::boolean[], $4::bigint[], $5::bigint[], $6::timestamptz[], $7::timestamptz[])
    AS c (member_id, lot_id, pending, remaining, expired, due_time, mature_time)
WHERE l.member_id = c.member_id AND l.lot_id = c.lot_id

-- name: upsert_holds
-- Holds and, from the 16th array on, what they drew.
WITH held AS (
    INSERT INTO hold (
        member_id, hold_id, points, captured, released, refunded, state, order_id, program_version, expire_time,
        create_time, window_member_id, window_name, window_day, window_points
    )
    SELECT *
    FROM unnest(
        $1::text[], $2::uuid[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::smallint[], $8::text[],
        $9::integer[], $10::timestamptz[], $11::timestamptz[], $12::text[], $13::text[], $14::date[], $15::bigint[]
    )
    ON CONFLICT (member_id, hold_id) DO UPDATE
    SET
        captured = excluded.captured, released = excluded.released, refunded = excluded.refunded,
        state = excluded.state
)
INSERT INTO hold_lot (member_id, hold_id, ordinal, lot_id, points, captured, released, refunded)
SELECT *
FROM unnest(
    $16::text[], $17::uuid[], $18::integer[], $19::uuid[], $20::bigint[], $21::bigint[], $22::bigint[], $23::bigint[]
)
ON CONFLICT (member_id, hold_id, ordinal) DO UPDATE
SET captured = excluded.captured, released = excluded.released, refunded = excluded.refunded

-- name: upsert_accrual_returns
INSERT INTO accrual_return (member_id, transaction_id, returned_minor, reversed_points, forgiven_points, kept_lines, cash_points)
SELECT * FROM unnest($1::text[], $2::uuid[], $3::bigint[], $4::bigint[], $5::bigint[], $6::jsonb[], $7::bigint[])
ON CONFLICT (member_id, transaction_id) DO UPDATE
SET
    returned_minor = excluded.returned_minor, reversed_points = excluded.reversed_points,
    forgiven_points = excluded.forgiven_points, kept_lines = excluded.kept_lines, cash_points = excluded.cash_points

-- name: update_accounts
UPDATE account AS a
SET active = c.active, pending = c.pending, held = c.held, debt = c.debt
FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[])
    AS c (member_id, active, pending, held, debt)
WHERE a.member_id = c.member_id

-- name: insert_requests
INSERT INTO request (request_id, method, content_hash, response)
SELECT * FROM unnest($1::text[], $2::text[], $3::bytea[], $4::bytea[]) AS r (request_id, method, content_hash, response)
ORDER BY request_id

-- name: set_tiers
INSERT INTO account AS a (member_id, tier_id, tier_time)
SELECT member_id, tier_id, tier_time
FROM unnest($1::text[], $2::text[], $3::timestamptz[]) AS t (member_id, tier_id, tier_time)
ORDER BY member_id
ON CONFLICT (member_id) DO UPDATE
SET tier_id = excluded.tier_id, tier_time = excluded.tier_time
WHERE a.tier_time IS NULL OR a.tier_time <= excluded.tier_time

-- name: forget_unknown_tiers
UPDATE account SET tier_id = NULL
WHERE member_id = ANY($1::text[]) AND tier_id = ''
