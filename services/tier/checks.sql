-- check: every member stands where their last decision put them
SELECT m.member_id, m.tier_id, m.valid_until_time, m.decision_count, d.number, d.to_tier_id, d.valid_until_time AS decided_until_time
FROM tier.member AS m
LEFT JOIN (
    SELECT DISTINCT ON (member_id) member_id, number, to_tier_id, to_rank, valid_until_time, program_version
    FROM tier.decision
    ORDER BY member_id, number DESC
) AS d USING (member_id)
WHERE
    (m.tier_id, m.valid_until_time, m.decision_count, m.program_version) IS DISTINCT FROM (
        CASE WHEN d.to_rank > 0 THEN d.to_tier_id END, d.valid_until_time, coalesce(d.number, 0),
        coalesce(d.program_version, 0)
    )

-- check: decisions about a member are numbered without a gap, and each begins where the one before ended
SELECT member_id, number, from_tier_id, from_rank, before_number, before_tier_id, before_rank
FROM (
    SELECT
        member_id, number, from_tier_id, from_rank,
        lag(number, 1, 0) OVER earlier AS before_number,
        lag(to_tier_id) OVER earlier AS before_tier_id,
        lag(to_rank, 1, 0::smallint) OVER earlier AS before_rank
    FROM tier.decision
    WINDOW earlier AS (PARTITION BY member_id ORDER BY number)
) AS step
-- The lowest tier is everybody's and may have another name in another version of the program.
WHERE
    number <> before_number + 1
    OR (before_rank = 0 AND from_rank > 0)
    OR (before_rank > 0 AND from_tier_id <> before_tier_id)

-- check: only a review lowers a tier, and by one level
SELECT member_id, number, kind, from_rank, to_rank
FROM tier.decision
WHERE (kind = 1 AND to_rank <= from_rank) OR (kind = 2 AND to_rank <> from_rank) OR (kind = 3 AND to_rank <> from_rank - 1)

-- check: who was raised had the spend that was asked for, and a purchase that counted set it off
SELECT d.member_id, d.number, d.window_spend_minor, d.threshold_minor, d.cause_event_id
FROM tier.decision AS d
WHERE
    d.kind = 1
    AND (
        d.window_spend_minor < d.threshold_minor
        OR NOT EXISTS (SELECT FROM tier.growth AS g WHERE g.member_id = d.member_id AND g.event_id = d.cause_event_id)
    )

-- check: growth is counted once for each transaction
SELECT member_id, transaction_id, count(*) AS times
FROM tier.growth
GROUP BY member_id, transaction_id
HAVING count(*) > 1

-- check: growth is what the ledger's transaction was for, and nothing under review
-- The other way round it holds only once the events have arrived. After a merge it is of who had booked the purchase; of the survivor where
-- it was counted before that was told.
SELECT g.member_id, g.transaction_id, g.spend_minor, g.counted_time, t.kind, t.explanation ->> 'spend' AS ledger_spend
FROM tier.growth AS g
LEFT JOIN points.transaction AS t
    ON t.transaction_id::text = g.transaction_id AND g.member_id IN (t.member_id, t.explanation ->> 'booked_member')
WHERE
    CASE t.kind
        WHEN 1 THEN
            g.spend_minor = (t.explanation ->> 'spend')::bigint AND g.counted_time = t.occurred_time
            AND (t.explanation ->> 'review')::boolean IS NOT TRUE
        -- A review that was settled: the spend that was left of the accrual.
        WHEN 2 THEN
            g.spend_minor = (t.explanation ->> 'spend')::bigint
            AND g.counted_time = (t.explanation ->> 'accrual_occurred')::timestamptz
        WHEN 7 THEN
            g.spend_minor = -(t.explanation ->> 'spend')::bigint
            AND g.counted_time = (t.explanation ->> 'accrual_occurred')::timestamptz
            AND (t.explanation ->> 'under_review')::boolean IS NOT TRUE
    END IS NOT TRUE

-- check: whoever enrolled or was decided about is a member
SELECT p.member_id FROM tier.profile AS p WHERE NOT EXISTS (SELECT FROM tier.member AS m WHERE m.member_id = p.member_id)
UNION
SELECT d.member_id FROM tier.decision AS d WHERE NOT EXISTS (SELECT FROM tier.member AS m WHERE m.member_id = d.member_id)

-- check: whoever is held down, or was, was demoted by anti-fraud, and what was lifted here was lifted there
SELECT c.member_id, c.action_id, c.tier_id, c.take_time, c.lift_time
FROM tier.ceiling AS c
WHERE
    NOT EXISTS (
        SELECT FROM antifraud.action AS a
        WHERE
            a.action_id = c.action_id AND a.kind = 6 AND a.value = c.member_id AND a.lifts_action_id IS NULL
            AND (c.take_time IS NULL OR a.tier_id = c.tier_id)
    )
    OR (c.lift_time IS NOT NULL AND NOT EXISTS (SELECT FROM antifraud.action AS l WHERE l.lifts_action_id = c.action_id))
