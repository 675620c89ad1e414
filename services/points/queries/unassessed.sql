-- Accruals that anti-fraud has yet to be asked about.

-- name: insert_unassessed
INSERT INTO unassessed (member_id, request_id, transaction_id, operation, record_time, due_time)
SELECT member_id, request_id, transaction_id, operation, $5::timestamptz, $5::timestamptz
FROM unnest($1::text[], $2::text[], $3::uuid[], $4::bytea[]) AS booked (member_id, request_id, transaction_id, operation)

-- name: find_unassessed
SELECT member_id, request_id, operation
FROM unassessed
WHERE due_time <= $1
ORDER BY due_time, member_id, request_id
LIMIT $2

-- name: take_unassessed
-- Of several who were given answers about the same rows one takes them.
WITH taken AS (
    SELECT u.member_id, u.request_id
    FROM unassessed AS u
    INNER JOIN unnest($1::text[], $2::text[]) AS answered (member_id, request_id) USING (member_id, request_id)
    ORDER BY u.member_id, u.request_id
    FOR UPDATE OF u
)
DELETE FROM unassessed AS u
USING taken
WHERE u.member_id = taken.member_id AND u.request_id = taken.request_id
RETURNING u.member_id, u.request_id

-- name: postpone_unassessed
UPDATE unassessed SET due_time = $3 WHERE member_id = $1 AND request_id = $2
