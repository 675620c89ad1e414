-- What is known of members, one row each, and who gave to whom.

-- name: lock_profiles
-- Locks the members in order and returns what is known of them; who was never heard of gets a row to wait at.
INSERT INTO profile AS known (member_id, state, write_time)
SELECT member_id, '{}', $2::timestamptz
FROM unnest($1::text[]) AS asked (member_id)
ORDER BY member_id COLLATE "C"
ON CONFLICT (member_id) DO UPDATE
SET write_time = excluded.write_time
RETURNING member_id, state

-- name: save_profiles
-- The rows are locked by lock_profiles already.
UPDATE profile
SET state = changed.state::jsonb
FROM unnest($1::text[], $2::text[]) AS changed (member_id, state)
WHERE profile.member_id = changed.member_id

-- name: gifts_given
-- What each of the members gave since $2: of one $3 gifts at most, of all $4.
SELECT found.giver, found.receiver, found.last_time
FROM unnest($1::text[]) AS asked (member_id)
CROSS JOIN LATERAL (
    SELECT giver, receiver, last_time
    FROM gift
    WHERE giver = asked.member_id AND last_time > $2::timestamptz
    LIMIT $3
) AS found
LIMIT $4

-- name: gifts_received
-- What each of the members was given since $2, the latest $3 of one.
SELECT found.giver, found.receiver, found.last_time
FROM unnest($1::text[]) AS asked (member_id)
CROSS JOIN LATERAL (
    SELECT giver, receiver, last_time
    FROM gift
    WHERE receiver = asked.member_id AND last_time > $2::timestamptz
    ORDER BY last_time DESC
    LIMIT $3
) AS found

-- name: add_gifts
INSERT INTO gift AS known (giver, receiver, last_time)
SELECT giver, receiver, last_time
FROM unnest($1::text[], $2::text[], $3::timestamptz[]) AS added (giver, receiver, last_time)
ORDER BY giver COLLATE "C", receiver COLLATE "C"
ON CONFLICT (giver, receiver) DO UPDATE
SET last_time = greatest(known.last_time, excluded.last_time)

-- name: prune_gifts
-- One step through the gifts, behind ($1, $2): deletes the old ones, and returns where the next step begins.
WITH page AS (
    SELECT giver, receiver
    FROM gift
    WHERE (giver, receiver) > ($1::text, $2::text)
    ORDER BY giver, receiver
    LIMIT $4
),
old AS (
    SELECT gift.giver, gift.receiver
    FROM gift
    INNER JOIN page USING (giver, receiver)
    WHERE gift.last_time < $3::timestamptz
    FOR UPDATE OF gift SKIP LOCKED
),
gone AS (
    DELETE FROM gift
    USING old
    WHERE gift.giver = old.giver AND gift.receiver = old.receiver
)
SELECT giver, receiver
FROM page
ORDER BY giver DESC, receiver DESC
LIMIT 1
