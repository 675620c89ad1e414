-- Growth, tiers and decisions.

-- name: lock_members
-- In key order, so that batches cannot deadlock.
SELECT member_id, tier_id, valid_until_time, program_version, decide_time, decision_count
FROM member
WHERE member_id = ANY($1::text[])
ORDER BY member_id
FOR NO KEY UPDATE

-- name: lock_due_free
-- Members whose validity has ended and whom nobody else holds; never waits.
SELECT member_id, tier_id, valid_until_time, program_version, decide_time, decision_count
FROM member
WHERE valid_until_time <= $1
ORDER BY valid_until_time
LIMIT $2
FOR NO KEY UPDATE SKIP LOCKED

-- name: lock_due
-- Members whose validity has ended, in key order, waiting for those who are held.
SELECT member_id, tier_id, valid_until_time, program_version, decide_time, decision_count
FROM member
WHERE valid_until_time <= $1
ORDER BY member_id
LIMIT $2
FOR NO KEY UPDATE

-- name: get_standings
SELECT member_id, tier_id, valid_until_time, program_version, decide_time, decision_count
FROM member
WHERE member_id = ANY($1::text[])

-- name: get_status
-- Where a member stands and what they spent in a window, both ends counted. One statement: a purchase and the tier that it gave are in it
-- both, or neither.
SELECT
    m.member_id, m.tier_id, m.valid_until_time, m.program_version, m.decide_time, m.decision_count,
    (
        SELECT coalesce(sum(g.spend_minor), 0)::bigint
        FROM growth AS g
        WHERE g.member_id = m.member_id AND g.counted_time >= $2 AND g.counted_time <= $3
    ) AS spend_minor
FROM member AS m
WHERE m.member_id = $1

-- name: get_enrolled
SELECT member_id, birth_month, enrol_time
FROM profile
WHERE member_id = ANY($1::text[])

-- name: add_growth
-- An event that counted before is left out of what is returned.
INSERT INTO growth (member_id, counted_time, event_id, transaction_id, spend_minor)
SELECT member_id, counted_time, event_id, transaction_id, spend_minor
FROM unnest($1::text[], $2::timestamptz[], $3::uuid[], $4::text[], $5::bigint[])
    AS fresh (member_id, counted_time, event_id, transaction_id, spend_minor)
ORDER BY member_id, counted_time, event_id
ON CONFLICT (member_id, counted_time, event_id) DO NOTHING
RETURNING member_id, counted_time, event_id, spend_minor

-- name: get_growth
SELECT g.member_id, g.counted_time, g.event_id, g.spend_minor
FROM unnest($1::text[], $2::timestamptz[]) AS wanted (member_id, since_time)
INNER JOIN growth AS g
    ON g.member_id = wanted.member_id AND g.counted_time >= wanted.since_time
ORDER BY g.member_id, g.counted_time, g.event_id

-- name: sum_growth
-- Spend of each member in a window, both ends counted; in the order of the arrays.
SELECT coalesce(sum(g.spend_minor), 0)::bigint AS spend_minor
FROM unnest($1::text[], $2::timestamptz[], $3::timestamptz[])
    WITH ORDINALITY AS wanted (member_id, start_time, end_time, ordinal)
LEFT JOIN growth AS g
    ON g.member_id = wanted.member_id
    AND g.counted_time >= wanted.start_time
    AND g.counted_time <= wanted.end_time
GROUP BY wanted.ordinal
ORDER BY wanted.ordinal

-- name: add_decisions
INSERT INTO decision (
    member_id, number, decision_id, kind, from_tier_id, from_rank, to_tier_id, to_rank,
    window_spend_minor, threshold_minor, window_start_time, occurred_time, valid_until_time,
    program_version, cause_event_id, record_time
)
SELECT
    member_id, number, decision_id, kind, from_tier_id, from_rank, to_tier_id, to_rank,
    window_spend_minor, threshold_minor, window_start_time, occurred_time, valid_until_time,
    program_version, cause_event_id, $16
FROM unnest(
    $1::text[], $2::integer[], $3::uuid[], $4::smallint[], $5::text[], $6::smallint[], $7::text[],
    $8::smallint[], $9::bigint[], $10::bigint[], $11::timestamptz[], $12::timestamptz[],
    $13::timestamptz[], $14::integer[], $15::uuid[]
) AS made (
    member_id, number, decision_id, kind, from_tier_id, from_rank, to_tier_id, to_rank,
    window_spend_minor, threshold_minor, window_start_time, occurred_time, valid_until_time,
    program_version, cause_event_id
)

-- name: set_standings
UPDATE member AS m
SET
    tier_id = made.tier_id, valid_until_time = made.valid_until_time,
    program_version = made.program_version, decide_time = made.decide_time,
    decision_count = made.decision_count
FROM unnest(
    $1::text[], $2::text[], $3::timestamptz[], $4::integer[], $5::timestamptz[], $6::integer[]
) AS made (
    member_id, tier_id, valid_until_time, program_version, decide_time, decision_count
)
WHERE m.member_id = made.member_id

-- name: list_decisions
SELECT
    member_id, number, decision_id, kind, from_tier_id, from_rank, to_tier_id, to_rank,
    window_spend_minor, threshold_minor, window_start_time, occurred_time, valid_until_time,
    program_version, cause_event_id, record_time
FROM decision
WHERE member_id = $1 AND number < $2
ORDER BY number DESC
LIMIT $3
