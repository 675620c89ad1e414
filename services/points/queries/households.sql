-- Households and their pools.

-- name: find_household_of
SELECT household_id FROM household_member
WHERE member_id = $1 AND leave_time IS NULL

-- name: get_household
-- With its pool as of an instant $2 that is now: points whose end has come do not count any more, booked or not, as in get_balances.
SELECT
    h.household_id, h.name, h.state, h.create_time, coalesce(a.active - coalesce(ended.points, 0), 0) AS active,
    coalesce(a.held, 0) AS held
FROM household AS h
LEFT JOIN account AS a ON a.member_id = h.household_id
LEFT JOIN LATERAL (
    SELECT sum(l.remaining)::bigint AS points
    FROM lot AS l
    WHERE l.member_id = a.member_id AND l.remaining > 0 AND NOT l.pending AND l.expire_time <= $2
        AND (a.frozen_time IS NULL OR l.expire_time <= a.frozen_time)
) AS ended ON true
WHERE h.household_id = $1

-- name: list_household_members
-- With what each has used of the pool in the month $2, and what is left there at the instant $3 of what each has brought, be it in lots
-- that refunds opened.
SELECT
    m.member_id, m.role, m.month_points_max, m.join_time,
    coalesce(used.points, 0)::bigint AS month_used,
    coalesce(brought.points, 0)::bigint AS contributed
FROM household_member AS m
LEFT JOIN LATERAL (
    SELECT sum(h.points - h.released - h.refunded) AS points
    FROM pool_hold AS p
    INNER JOIN hold AS h ON h.hold_id = p.hold_id
    WHERE p.household_id = m.household_id AND p.member_id = m.member_id AND p.month = $2
) AS used ON true
LEFT JOIN LATERAL (
    WITH RECURSIVE theirs AS (
        SELECT o.lot_id FROM lot_origin AS o
        WHERE o.member_id = m.household_id AND o.source_member_id = m.member_id
        UNION ALL
        SELECT r.lot_id
        FROM theirs AS t
        INNER JOIN lot_replacement AS r ON r.member_id = m.household_id AND r.replaced_lot_id = t.lot_id
    )
    SELECT sum(l.remaining) AS points
    FROM theirs AS t
    INNER JOIN lot AS l ON l.member_id = m.household_id AND l.lot_id = t.lot_id
    INNER JOIN account AS a ON a.member_id = l.member_id
    WHERE
        l.remaining > 0
        AND (l.expire_time IS NULL OR l.expire_time > $3 OR l.expire_time > a.frozen_time)
) AS brought ON true
WHERE m.household_id = $1 AND m.leave_time IS NULL
ORDER BY m.role <> 1, m.join_time, m.member_id

-- name: add_household
INSERT INTO household (household_id, name, state, create_time)
VALUES ($1, $2, 1, $3)

-- name: open_pool
INSERT INTO account (member_id, state)
VALUES ($1, 4)

-- name: dissolve_household
UPDATE household SET state = 2
WHERE household_id = $1

-- name: put_household_member
INSERT INTO household_member (household_id, member_id, role, month_points_max, join_time)
VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (household_id, member_id) DO UPDATE
SET
    role = excluded.role, month_points_max = excluded.month_points_max,
    join_time = CASE WHEN household_member.leave_time IS NULL THEN household_member.join_time ELSE excluded.join_time END,
    leave_time = NULL

-- name: end_household_member
UPDATE household_member SET leave_time = $3
WHERE household_id = $1 AND member_id = $2

-- name: add_household_action
INSERT INTO household_action (
    household_id, action_id, kind, member_id, role, month_points_max, acting_member_id, identity, create_time
)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)

-- name: add_pool_move
INSERT INTO pool_move (household_id, pool_transaction_id, member_id, member_transaction_id, points, create_time)
VALUES ($1, $2, $3, $4, $5, $6)

-- name: add_pool_hold
INSERT INTO pool_hold (household_id, hold_id, member_id, month)
VALUES ($1, $2, $3, $4)

-- name: load_contributed_lots
-- Lots of a pool that a member's lots came out into, with points left, each with the lot it came out of.
SELECT
    l.member_id, l.lot_id, l.transaction_id, l.pending, l.points, l.remaining, l.expired,
    l.mature_time, l.expire_time, l.due_time, o.source_lot_id
FROM lot_origin AS o
INNER JOIN lot AS l USING (member_id, lot_id)
WHERE o.member_id = $1 AND o.source_member_id = $2 AND l.remaining > 0
ORDER BY l.lot_id

-- name: find_pool_sources
-- For the lots among these that are of pools, the lots of members that their points came out of; where a refund has opened one in place
-- of another one, by that.
WITH RECURSIVE chain AS (
    SELECT asked.member_id, asked.lot_id, asked.lot_id AS at_lot_id
    FROM unnest($1::text[], $2::uuid[]) AS asked (member_id, lot_id)
    INNER JOIN household AS h ON h.household_id = asked.member_id
    UNION ALL
    SELECT c.member_id, c.lot_id, r.replaced_lot_id
    FROM chain AS c
    INNER JOIN lot_replacement AS r ON r.member_id = c.member_id AND r.lot_id = c.at_lot_id
)
SELECT c.lot_id, o.source_member_id, o.source_lot_id
FROM chain AS c
INNER JOIN lot_origin AS o ON o.member_id = c.member_id AND o.lot_id = c.at_lot_id

-- name: sum_held_of_contributor
-- What open holds of a pool have drawn from lots that a member has brought, or that refunds have opened in place of those.
WITH RECURSIVE drawn AS (
    SELECT p.lot_id, p.points - p.captured - p.released AS points
    FROM hold AS h
    INNER JOIN hold_lot AS p USING (member_id, hold_id)
    WHERE h.member_id = $1 AND h.state = 1
    UNION ALL
    SELECT r.replaced_lot_id, d.points
    FROM drawn AS d
    INNER JOIN lot_replacement AS r ON r.member_id = $1 AND r.lot_id = d.lot_id
)
SELECT coalesce(sum(d.points), 0)::bigint
FROM drawn AS d
INNER JOIN lot_origin AS o ON o.member_id = $1 AND o.lot_id = d.lot_id
WHERE o.source_member_id = $2
