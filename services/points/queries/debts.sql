-- What returns made members owe. A debt stays with the member whose return made it; where that one was merged, the survivor owes it.

-- name: insert_debts
INSERT INTO debt (member_id, transaction_id, points, expire_time, due_time)
SELECT member_id, transaction_id, points, expire_time, expire_time
FROM unnest($1::text[], $2::uuid[], $3::bigint[], $4::timestamptz[]) AS d (member_id, transaction_id, points, expire_time)

-- name: find_due_debts
SELECT member_id, transaction_id
FROM debt
WHERE due_time <= $1
ORDER BY due_time
LIMIT $2

-- name: load_open_debts
-- Debts of members and of those merged into them that were not closed, the oldest first.
WITH RECURSIVE booked AS (
    SELECT member_id AS owner_id, member_id FROM unnest($1::text[]) AS asked (member_id)
    UNION
    SELECT b.owner_id, m.merged_member_id
    FROM booked AS b
    INNER JOIN merge AS m ON m.member_id = b.member_id AND m.undo_time IS NULL
)
SELECT b.owner_id, d.member_id, d.transaction_id, d.points - d.repaid AS points, d.expire_time, d.due_time
FROM booked AS b
INNER JOIN debt AS d ON d.member_id = b.member_id
WHERE d.expire_time IS NULL OR d.due_time IS NOT NULL
ORDER BY b.owner_id, d.transaction_id

-- name: note_repaid
-- Notes what was repaid of debts: all but so many points of each.
UPDATE debt AS d SET repaid = d.points - c.points
FROM unnest($1::text[], $2::uuid[], $3::bigint[]) AS c (member_id, transaction_id, points)
WHERE d.member_id = c.member_id AND d.transaction_id = c.transaction_id

-- name: close_debts
UPDATE debt AS d
SET due_time = NULL, written_off = c.written_off
FROM unnest($1::text[], $2::uuid[], $3::bigint[]) AS c (member_id, transaction_id, written_off)
WHERE d.member_id = c.member_id AND d.transaction_id = c.transaction_id
