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
-- Debts of members that were not closed, the oldest first.
SELECT d.member_id, d.transaction_id, d.points, d.expire_time, d.due_time
FROM debt AS d
WHERE d.member_id = ANY($1::text[]) AND (d.expire_time IS NULL OR d.due_time IS NOT NULL)
ORDER BY d.member_id, d.transaction_id

-- name: close_debts
UPDATE debt AS d
SET due_time = NULL, written_off = c.written_off
FROM unnest($1::text[], $2::uuid[], $3::bigint[]) AS c (member_id, transaction_id, written_off)
WHERE d.member_id = c.member_id AND d.transaction_id = c.transaction_id
