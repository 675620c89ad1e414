-- Actions: taken, lifted, ended, listed; appeals against them.

-- name: take_actions
-- One of a kind on a key is in force at most: returns those that were taken now. Keys are locked in order; who takes the same one
-- at the same moment waits here, and then finds it taken.
WITH asked AS MATERIALIZED (
    SELECT action_id, kind, key_kind, value, member_id, points, rule, assessment_id, reason, end_time, tier_id
    FROM unnest(
        $1::uuid[], $2::smallint[], $3::smallint[], $4::text[], $5::text[], $6::bigint[], $7::text[], $8::uuid[], $9::text[],
        $10::timestamptz[], $11::text[]
    ) AS a (action_id, kind, key_kind, value, member_id, points, rule, assessment_id, reason, end_time, tier_id)
),
taken AS (
    INSERT INTO action_in_force (key_kind, value, kind, action_id, points, end_time)
    SELECT key_kind, value, kind, action_id, points, end_time
    FROM asked
    ORDER BY key_kind, value COLLATE "C", kind
    ON CONFLICT (key_kind, value, kind) DO NOTHING
    RETURNING action_id
),
listed AS (
    -- The lists that deny (3) and watch (4) are 2 and 3.
    INSERT INTO list_entry (key_kind, value, list, action_id, expire_time, reason, operator, identity, create_time)
    SELECT a.key_kind, a.value, a.kind - 1, a.action_id, a.end_time, a.reason, $12::text, $13::text, $14::timestamptz
    FROM asked AS a INNER JOIN taken USING (action_id)
    WHERE a.kind IN (3, 4)
)
INSERT INTO action (
    action_id, kind, key_kind, value, member_id, points, rule, assessment_id, operator, identity, reason, create_time, end_time, tier_id
)
SELECT
    a.action_id, a.kind, a.key_kind, a.value, a.member_id, a.points, a.rule, a.assessment_id, $12::text, $13::text, a.reason,
    $14::timestamptz, a.end_time, a.tier_id
FROM asked AS a INNER JOIN taken USING (action_id)
RETURNING action_id

-- name: lock_actions
-- Those of these that are in force, locked in the order of their keys.
SELECT key_kind, value, kind, action_id
FROM action_in_force
WHERE action_id = ANY($1::uuid[])
ORDER BY key_kind, value, kind
FOR UPDATE

-- name: find_ended_actions
SELECT action_id
FROM action_in_force
WHERE end_time <= $1::timestamptz
ORDER BY end_time
LIMIT $2

-- name: find_ended_actions_on
-- The ones on some keys whose time has ended and that the clock has not lifted yet.
SELECT f.action_id
FROM unnest($1::smallint[], $2::text[], $3::smallint[]) AS asked (key_kind, value, kind)
INNER JOIN action_in_force AS f USING (key_kind, value, kind)
WHERE f.end_time <= $4::timestamptz

-- name: lift_actions
-- Ends actions that are locked; returns them as they were taken.
WITH lifted AS (
    DELETE FROM action_in_force
    USING unnest($1::uuid[], $2::uuid[]) AS l (action_id, lift_id)
    WHERE action_in_force.action_id = l.action_id
    RETURNING l.action_id, l.lift_id
),
unlisted AS (
    DELETE FROM list_entry AS e
    USING lifted AS l INNER JOIN action AS a USING (action_id)
    WHERE a.kind IN (3, 4) AND e.key_kind = a.key_kind AND e.value = a.value AND e.list = a.kind - 1 AND e.action_id = a.action_id
)
INSERT INTO action (
    action_id, kind, key_kind, value, member_id, points, operator, identity, reason, create_time, lifts_action_id, tier_id
)
SELECT
    l.lift_id, a.kind, a.key_kind, a.value, a.member_id, a.points, $3::text, $4::text, $5::text,
    -- Never before the action itself, whatever the clocks of two processes say.
    greatest($6::timestamptz, a.create_time), l.action_id, a.tier_id
FROM lifted AS l INNER JOIN action AS a USING (action_id)
RETURNING action_id, kind, member_id, create_time, lifts_action_id, tier_id

-- name: get_action
SELECT
    a.action_id, a.kind, a.key_kind, a.value, a.member_id, a.points, a.rule, a.assessment_id, a.operator, a.identity, a.reason,
    a.create_time, a.end_time, a.tier_id, l.action_id AS lift_id, l.operator AS lift_operator, l.identity AS lift_identity,
    l.reason AS lift_reason, l.create_time AS lift_time
FROM action AS a
LEFT JOIN action AS l ON l.lifts_action_id = a.action_id
WHERE a.action_id = $1 AND a.lifts_action_id IS NULL

-- name: find_action_in_force
SELECT action_id FROM action_in_force WHERE key_kind = $1::smallint AND value = $2 AND kind = $3::smallint

-- name: find_heaviest_action
-- What weighs most of what is in force on a member's account.
SELECT action_id
FROM action_in_force
WHERE key_kind = 1 AND value = $1 AND kind IN (1, 2, 5, 6)
ORDER BY kind
LIMIT 1

-- name: list_actions
SELECT
    a.action_id, a.kind, a.key_kind, a.value, a.member_id, a.points, a.rule, a.assessment_id, a.operator, a.identity, a.reason,
    a.create_time, a.end_time, a.tier_id, l.action_id AS lift_id, l.operator AS lift_operator, l.identity AS lift_identity,
    l.reason AS lift_reason, l.create_time AS lift_time
FROM action AS a
LEFT JOIN action AS l ON l.lifts_action_id = a.action_id
WHERE
    a.lifts_action_id IS NULL
    AND ($1::text = '' OR a.member_id = $1::text)
    AND ($2::smallint = 0 OR a.kind = $2::smallint)
    AND (NOT $3::boolean OR l.action_id IS NULL)
    AND ($4::uuid IS NULL OR a.action_id < $4::uuid)
ORDER BY a.action_id DESC
LIMIT $5

-- name: count_appeals
-- How many there were against an action, and whether one is open.
SELECT count(*) AS all_count, coalesce(bool_or(state = 1), FALSE) AS has_open
FROM appeal
WHERE action_id = $1

-- name: add_appeal
INSERT INTO appeal (appeal_id, action_id, member_id, text, state, create_time)
VALUES ($1, $2, $3, $4, 1, $5)

-- name: lock_appeal
SELECT appeal_id, action_id, member_id, text, state, create_time, operator, identity, reason, decide_time
FROM appeal
WHERE appeal_id = $1
FOR UPDATE

-- name: decide_appeal
UPDATE appeal
SET state = $2::smallint, operator = $3, identity = $4, reason = $5, decide_time = $6
WHERE appeal_id = $1

-- name: list_appeals
SELECT appeal_id, action_id, member_id, text, state, create_time, operator, identity, reason, decide_time
FROM appeal
WHERE
    ($1::text = '' OR member_id = $1::text)
    AND ($2::smallint = 0 OR state = $2::smallint)
    AND ($3::uuid IS NULL OR appeal_id > $3::uuid)
ORDER BY appeal_id
LIMIT $4
