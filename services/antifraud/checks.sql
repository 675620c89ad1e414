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
-- A review that people found legitimate lets through what it was about.
SELECT t.member_id, t.transaction_id, t.kind, a.action, c.outcome
FROM points.transaction AS t
INNER JOIN antifraud.assessment AS a ON a.member_id = t.member_id AND a.assessment_id::text = t.explanation ->> 'assessment'
LEFT JOIN antifraud.case_item AS i ON i.member_id = a.member_id AND i.request_id = a.request_id
LEFT JOIN antifraud.fraud_case AS c ON c.case_id = i.case_id
WHERE
    t.kind IN (1, 3, 9, 11, 18)
    AND (
        a.action = 3
        OR (
            a.action = 2 AND c.outcome IS DISTINCT FROM 1
            AND (t.kind <> 1 OR (t.explanation ->> 'review')::boolean IS NOT TRUE)
        )
    )

-- check: what is to be reviewed is in a case of its member, and nothing else is
SELECT a.member_id, a.request_id, a.action, i.case_id, i.member_id AS item_member_id, c.member_id AS case_member_id
FROM (SELECT member_id, request_id, assessment_id, action, kind FROM antifraud.assessment WHERE action = 2) AS a
FULL JOIN antifraud.case_item AS i ON i.member_id = a.member_id AND i.request_id = a.request_id
LEFT JOIN antifraud.fraud_case AS c ON c.case_id = i.case_id
WHERE
    a.action IS NULL OR i.case_id IS NULL OR c.member_id IS DISTINCT FROM i.member_id
    OR (a.assessment_id, a.kind) IS DISTINCT FROM (i.assessment_id, i.kind)

-- check: a case counts its assessments and has the highest of their scores
SELECT c.case_id, c.assessment_count, i.assessments, c.score, i.score AS highest
FROM antifraud.fraud_case AS c
LEFT JOIN (
    SELECT i.case_id, count(*) AS assessments, max(a.score) AS score
    FROM antifraud.case_item AS i
    INNER JOIN antifraud.assessment AS a ON a.member_id = i.member_id AND a.request_id = i.request_id
    GROUP BY i.case_id
) AS i USING (case_id)
WHERE (c.assessment_count, c.score) IS DISTINCT FROM (i.assessments::integer, i.score)

-- check: what a decided case is about is labelled
SELECT i.case_id, i.member_id, i.request_id
FROM antifraud.case_item AS i
INNER JOIN antifraud.fraud_case AS c ON c.case_id = i.case_id AND c.state = 2
LEFT JOIN antifraud.label AS l ON l.member_id = i.member_id AND l.request_id = i.request_id
WHERE l.request_id IS NULL
