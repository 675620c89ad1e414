-- What anti-fraud holds members down to. Members are locked before anything is changed here.

-- name: load_ceilings
-- What is in force on members, and what is known of some actions.
SELECT member_id, action_id, tier_id, program_version, earned_tier_id, earned_version, take_time, lift_time
FROM ceiling
WHERE member_id = ANY($1::text[]) AND (lift_time IS NULL OR action_id = ANY($2::uuid[]))
ORDER BY member_id, action_id

-- name: note_ceilings
INSERT INTO ceiling AS known (
    member_id, action_id, tier_id, program_version, earned_tier_id, earned_version, take_time, lift_time
)
SELECT member_id, action_id, tier_id, program_version, earned_tier_id, earned_version, take_time, lift_time
FROM unnest(
    $1::text[], $2::uuid[], $3::text[], $4::integer[], $5::text[], $6::integer[], $7::timestamptz[], $8::timestamptz[]
) AS heard (member_id, action_id, tier_id, program_version, earned_tier_id, earned_version, take_time, lift_time)
ON CONFLICT (member_id, action_id) DO UPDATE
SET
    tier_id = excluded.tier_id, program_version = excluded.program_version, earned_tier_id = excluded.earned_tier_id,
    earned_version = excluded.earned_version, take_time = excluded.take_time, lift_time = excluded.lift_time

-- name: get_told_times
SELECT member_id, coalesce(told_time, decide_time) AS told_time
FROM member
WHERE member_id = ANY($1::text[]) AND coalesce(told_time, decide_time) IS NOT NULL

-- name: set_told_times
UPDATE member AS m
SET told_time = told.told_time
FROM unnest($1::text[], $2::timestamptz[]) AS told (member_id, told_time)
WHERE m.member_id = told.member_id

-- name: count_tiers
-- Members by the tier that they have earned and the ceilings on them.
SELECT
    m.tier_id, coalesce(c.tier_ids, ARRAY[]::text[]) AS ceiling_ids, max(m.program_version) AS program_version, count(*) AS member_count
FROM member AS m
LEFT JOIN (
    SELECT member_id, array_agg(tier_id ORDER BY tier_id) AS tier_ids
    FROM ceiling
    WHERE lift_time IS NULL
    GROUP BY member_id
) AS c USING (member_id)
GROUP BY m.tier_id, c.tier_ids
