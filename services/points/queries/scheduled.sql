-- name: find_maturing_lots
-- Pending lots that become active, oldest first; at most $4 of them, after the last one of the step before.
SELECT member_id, lot_id, due_time
FROM lot
WHERE
    remaining > 0 AND due_time <= $1
    AND pending AND mature_time <= $1
    AND (due_time, lot_id) > ($2, $3)
ORDER BY due_time, lot_id
LIMIT $4

-- name: find_ending_lots
-- Lots that have ended or are due for a warning, in the same way; not those that are due only to mature.
SELECT member_id, lot_id, due_time
FROM lot
WHERE
    remaining > 0 AND due_time <= $1
    AND (NOT pending OR mature_time IS NULL OR expire_time <= $1)
    AND (due_time, lot_id) > ($2, $3)
ORDER BY due_time, lot_id
LIMIT $4

-- name: load_lots_ending
-- The active lots of members that end after $2 and before the member's own instant.
SELECT
    l.member_id, l.lot_id, l.transaction_id, l.pending, l.points, l.remaining, l.expired,
    l.mature_time, l.expire_time, l.due_time
FROM unnest($1::text[], $3::timestamptz[]) AS asked (member_id, until)
INNER JOIN lot AS l
    ON
        l.member_id = asked.member_id AND l.remaining > 0 AND NOT l.pending
        AND l.expire_time > $2 AND l.expire_time < asked.until

-- name: find_due_holds
SELECT member_id, hold_id
FROM hold
WHERE state = 1 AND expire_time <= $1
ORDER BY expire_time
LIMIT $2

-- name: ensure_partitions
-- Under a lock of its own: processes that start at once must not make the same table.
SELECT ensure_partitions(coalesce($1::timestamptz, now())) FROM pg_advisory_xact_lock(hashtext('points.ensure_partitions'))
