-- check: an assessment has an id of its own, and a member's request has one assessment
SELECT 'assessment' AS twice, assessment_id::text AS id, count(*) AS times
FROM antifraud.assessment
GROUP BY assessment_id
HAVING count(*) > 1
UNION ALL
SELECT 'request', member_id || ' ' || request_id, count(*)
FROM antifraud.assessment
GROUP BY member_id, request_id
HAVING count(*) > 1

-- check: the strictest rule that fired decides, and none means allow
SELECT a.member_id, a.request_id, a.action, f.action AS strictest
FROM antifraud.assessment AS a
CROSS JOIN LATERAL (
    -- allow, review, challenge, deny
    SELECT coalesce((array_agg((rule ->> 'action')::integer ORDER BY array_position('{1,2,4,3}', (rule ->> 'action')::integer) DESC))[1], 1) AS action
    FROM jsonb_array_elements(a.fired) AS rule
) AS f
WHERE a.action <> f.action

-- check: a score is the sum of the rules that fired, 1,000 at most
SELECT a.member_id, a.request_id, a.score, f.score AS of_rules
FROM antifraud.assessment AS a
CROSS JOIN LATERAL (
    SELECT least(coalesce(sum((rule ->> 'score')::integer), 0), 1000) AS score FROM jsonb_array_elements(a.fired) AS rule
) AS f
WHERE a.score <> f.score

-- check: what was denied is not booked, and what is to be reviewed is pending
SELECT t.member_id, t.transaction_id, t.kind, a.action
FROM points.transaction AS t
INNER JOIN antifraud.assessment AS a ON a.member_id = t.member_id AND a.assessment_id::text = t.explanation ->> 'assessment'
WHERE
    t.kind IN (1, 3, 9, 11, 18)
    AND (a.action = 3 OR (a.action = 2 AND (t.kind <> 1 OR (t.explanation ->> 'review')::boolean IS NOT TRUE)))

-- check: what was challenged is booked only once the challenge is solved, and pending where others asked for a review
SELECT t.member_id, t.transaction_id, t.kind, a.request_id
FROM points.transaction AS t
INNER JOIN antifraud.assessment AS a ON a.member_id = t.member_id AND a.assessment_id::text = t.explanation ->> 'assessment'
WHERE
    t.kind IN (1, 3, 9, 11, 18)
    AND a.action = 4
    AND (
        NOT EXISTS (
            SELECT 1 FROM antifraud.challenge AS c
            WHERE c.member_id = a.member_id AND c.request_id = a.request_id AND c.state = 2
        )
        OR (
            a.fired @> '[{"action": 2}]'
            AND (t.kind <> 1 OR (t.explanation ->> 'review')::boolean IS NOT TRUE)
        )
    )

-- check: a challenge is bound to what was assessed
SELECT c.member_id, c.request_id, c.number
FROM antifraud.challenge AS c
LEFT JOIN antifraud.assessment AS a ON a.member_id = c.member_id AND a.request_id = c.request_id AND a.action = 4
WHERE
    a.request_id IS NULL
    OR (a.kind, a.points, a.amount_minor) IS DISTINCT FROM (c.kind, c.points, c.amount_minor)
