-- Deliveries that take attempts. Times of attempts are those of the database, so that processes agree on them.

-- name: fail_lapsed
-- The process that made the last attempt is gone, and nobody knows how that one ended.
WITH lapsed AS (
    SELECT member_id, message_id, channel
    FROM delivery
    WHERE state = 'PENDING' AND next_attempt_time <= now() AND attempt_count >= $1
    ORDER BY next_attempt_time
    LIMIT 100
    FOR UPDATE SKIP LOCKED
)

UPDATE delivery
SET state = 'FAILED', next_attempt_time = NULL, reason = $2
FROM lapsed
WHERE delivery.member_id = lapsed.member_id
AND delivery.message_id = lapsed.message_id
AND delivery.channel = lapsed.channel
RETURNING delivery.channel

-- name: claim_deliveries
-- Counts the attempt before it is made, and leases it: a crash costs one attempt, and never loops.
WITH due AS (
    SELECT member_id, message_id, channel
    FROM delivery
    WHERE state = 'PENDING' AND next_attempt_time <= now() AND attempt_count < $1
    ORDER BY next_attempt_time
    LIMIT $2
    FOR UPDATE SKIP LOCKED
)

UPDATE delivery
SET attempt_count = attempt_count + 1, next_attempt_time = now() + $3::interval
FROM due
INNER JOIN message
    ON message.member_id = due.member_id AND message.message_id = due.message_id
WHERE delivery.member_id = due.member_id
AND delivery.message_id = due.message_id
AND delivery.channel = due.channel
RETURNING
    delivery.member_id, delivery.message_id, delivery.channel, delivery.attempt_count,
    message.subject, message.body, message.create_time

-- name: settle_delivery
-- Only the attempt that still holds the lease may say how it ended.
UPDATE delivery
SET
    state = $5,
    deliver_time = $6,
    reason = $7,
    next_attempt_time = CASE WHEN $5 = 'PENDING' THEN now() + $8::interval END
WHERE member_id = $1 AND message_id = $2 AND channel = $3
AND attempt_count = $4 AND state = 'PENDING'
RETURNING true
