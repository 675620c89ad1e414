-- Assessments of a time range: in the order in which they were decided, and summed up by rule.

-- name: count_assessments
-- How many there are, but no more than $3: it stops there.
SELECT count(*) AS assessment_count
FROM (
    SELECT 1 AS one
    FROM assessment
    WHERE create_time >= $1 AND create_time < $2
    LIMIT $3
) AS found

-- name: page_assessments
-- Those made from $1 on and before $2, behind ($3, $4); ids are made in the order of deciding.
SELECT
    page.member_id, page.request_id, page.assessment_id, page.kind, page.action, page.program_version, page.points,
    page.amount_minor, page.tier_id, page.type, page.order_id, page.occurred_time, page.create_time, page.fired, page.context,
    label.is_fraud
FROM (
    SELECT
        member_id, request_id, assessment_id, kind, action, program_version, points, amount_minor, tier_id, type, order_id,
        occurred_time, create_time, fired, context
    FROM assessment
    WHERE create_time >= $1 AND create_time < $2 AND (create_time, assessment_id) > ($3, $4)
    ORDER BY create_time, assessment_id
    LIMIT $5
) AS page
LEFT JOIN label ON page.member_id = label.member_id AND page.request_id = label.request_id
ORDER BY page.create_time, page.assessment_id

-- name: sum_decisions
SELECT
    a.program_version, count(*) AS assessment_count,
    count(*) FILTER (WHERE l.is_fraud) AS fraud_count,
    count(*) FILTER (WHERE NOT l.is_fraud) AS legitimate_count,
    count(*) FILTER (WHERE a.action <> 1) AS stopped_count,
    least(coalesce(sum(a.points) FILTER (WHERE a.action <> 1), 0), 9223372036854775807)::bigint AS stopped_points,
    count(*) FILTER (WHERE a.action <> 1 AND l.is_fraud) AS stopped_fraud_count,
    count(*) FILTER (WHERE a.action <> 1 AND NOT l.is_fraud) AS stopped_legitimate_count
FROM assessment AS a
LEFT JOIN label AS l ON a.member_id = l.member_id AND a.request_id = l.request_id
WHERE a.create_time >= $1 AND a.create_time < $2
GROUP BY a.program_version
ORDER BY a.program_version

-- name: sum_rule_hits
SELECT
    a.program_version, fired.rule ->> 'rule' AS rule, (fired.rule ->> 'shadow')::boolean IS TRUE AS shadow, count(*) AS hit_count,
    least(sum(a.points), 9223372036854775807)::bigint AS points,
    count(*) FILTER (WHERE l.is_fraud) AS fraud_count,
    count(*) FILTER (WHERE NOT l.is_fraud) AS legitimate_count
FROM assessment AS a
CROSS JOIN LATERAL jsonb_array_elements(a.fired) AS fired (rule)
LEFT JOIN label AS l ON a.member_id = l.member_id AND a.request_id = l.request_id
WHERE a.create_time >= $1 AND a.create_time < $2 AND a.fired IS NOT NULL
GROUP BY a.program_version, fired.rule ->> 'rule', (fired.rule ->> 'shadow')::boolean IS TRUE
ORDER BY a.program_version, fired.rule ->> 'rule'
