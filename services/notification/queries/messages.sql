-- Messages, and what members see of them.

-- name: add_messages
-- Those that are new; what a cause has set off already is not said again.
INSERT INTO message (
    member_id, message_id, rule, subject, body, create_time, cause_event_id, program_version
)
SELECT
    member_id, message_id, rule, subject, body, create_time, cause_event_id, program_version
FROM unnest(
    $1::text[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::timestamptz[], $7::uuid[],
    $8::integer[]
) AS t (
    member_id, message_id, rule, subject, body, create_time, cause_event_id, program_version
)
ORDER BY member_id, message_id
ON CONFLICT (member_id, cause_event_id, rule) DO NOTHING
RETURNING message_id

-- name: add_deliveries
INSERT INTO delivery (
    member_id, message_id, channel, state, next_attempt_time, deliver_time, reason, expire_time
)
SELECT
    member_id, message_id, channel, state,
    CASE WHEN state = 'PENDING' THEN now() END,
    deliver_time, reason, expire_time
FROM unnest(
    $1::text[], $2::uuid[], $3::text[], $4::text[], $5::timestamptz[], $6::text[], $7::timestamptz[]
) AS t (member_id, message_id, channel, state, deliver_time, reason, expire_time)
ORDER BY member_id, message_id, channel

-- name: list_inbox
-- At most $3 messages before $2, and no more than whose texts fit into $4 bytes, but always the first.
WITH page AS (
    SELECT
        message_id,
        sum(octet_length(subject) + octet_length(body)) OVER (ORDER BY message_id DESC) AS byte_count,
        row_number() OVER (ORDER BY message_id DESC) AS position
    FROM (
        SELECT message_id, subject, body
        FROM message
        WHERE member_id = $1
        AND ($2::uuid IS NULL OR message_id < $2)
        AND EXISTS (
            SELECT FROM delivery
            WHERE delivery.member_id = message.member_id
            AND delivery.message_id = message.message_id
            AND delivery.channel = 'INBOX'
        )
        ORDER BY message_id DESC
        LIMIT $3
    ) AS newest
)

SELECT
    member_id, message.message_id, rule, subject, body, create_time, cause_event_id, program_version,
    (SELECT count(*) FROM page) AS found_count
FROM page
INNER JOIN message ON message.member_id = $1 AND message.message_id = page.message_id
WHERE page.byte_count <= $4 OR page.position = 1
ORDER BY page.position

-- name: get_deliveries
SELECT message_id, channel, state, attempt_count, deliver_time, reason
FROM delivery
WHERE member_id = $1 AND message_id = ANY($2::uuid[])
ORDER BY message_id, channel DESC
