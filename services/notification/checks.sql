-- check: one message for each member, cause and rule
SELECT member_id, cause_event_id, rule, count(*) AS times
FROM notification.message
WHERE cause_event_id IS NOT NULL
GROUP BY member_id, cause_event_id, rule
HAVING count(*) > 1

-- check: every message has a delivery, and every delivery a message
SELECT coalesce(m.member_id, d.member_id) AS member_id, coalesce(m.message_id, d.message_id) AS message_id, d.channel
FROM notification.message AS m
FULL JOIN notification.delivery AS d ON d.member_id = m.member_id AND d.message_id = m.message_id
WHERE m.message_id IS NULL OR d.message_id IS NULL

-- check: a delivery says how it ended: when it was delivered, or why it was not
SELECT member_id, message_id, channel, state, deliver_time, next_attempt_time, reason
FROM notification.delivery
WHERE
    (state = 'DELIVERED') <> (deliver_time IS NOT NULL)
    OR (state = 'PENDING') <> (next_attempt_time IS NOT NULL)
    OR (state IN ('SKIPPED', 'FAILED') AND reason = '')

-- check: e-mail is delivered by an attempt, and no delivery takes more than 8
SELECT member_id, message_id, channel, state, attempt_count
FROM notification.delivery
WHERE attempt_count NOT BETWEEN 0 AND 8 OR (channel = 'EMAIL' AND state = 'DELIVERED' AND attempt_count = 0)
