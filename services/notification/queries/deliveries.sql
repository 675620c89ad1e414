-- Deliveries that take attempts. Times of attempts are those of the database, so that processes agree on them; expire_time is of the
-- services' clock, which may stand in the past.

-- name: give_up
-- What has no attempt left: the process that made the last one is gone, and nobody knows how it ended. And what would come too late.
WITH hopeless AS (
    SELECT member_id, message_id, channel, CASE WHEN attempt_count >= $1 THEN $2 ELSE $3 END AS reason
    FROM delivery
    WHERE state = 'PENDING' AND next_attempt_time <= now() AND (attempt_count >= $1 OR expire_time <= $4)
    ORDER BY next_attempt_time
    LIMIT 100
    FOR UPDATE SKIP LOCKED
)

UPDATE delivery
SET state = 'FAILED', next_attempt_time = NULL, reason = hopeless.reason
FROM hopeless
WHERE delivery.member_id = hopeless.member_id
AND delivery.message_id = hopeless.message_id
AND delivery.channel = hopeless.channel
RETURNING delivery.channel

-- name: claim_deliveries
-- Counts the attempt before it is made, and leases it: a crash costs one attempt, and never loops.
WITH due AS (
    SELECT member_id, message_id, channel
    FROM delivery
    WHERE state = 'PENDING' AND next_attempt_time <= now() AND attempt_count < $1
    AND (expire_time IS NULL OR expire_time > $4)
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
