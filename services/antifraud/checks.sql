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

-- check: an action is in force from when it was taken until it was lifted
SELECT coalesce(f.action_id, t.action_id) AS action_id, t.action_id IS NOT NULL AS stands, f.action_id IS NOT NULL AS in_force
FROM (
    SELECT a.action_id, a.key_kind, a.value, a.kind, a.points, a.end_time
    FROM antifraud.action AS a
    WHERE a.lifts_action_id IS NULL AND NOT EXISTS (SELECT FROM antifraud.action AS l WHERE l.lifts_action_id = a.action_id)
) AS t
FULL JOIN antifraud.action_in_force AS f USING (action_id)
WHERE
    (t.key_kind, t.value, t.kind, t.points, t.end_time)
    IS DISTINCT FROM (f.key_kind, f.value, f.kind, f.points, f.end_time)

-- check: what lifts an action is about the same, and comes after it
SELECT l.action_id, l.lifts_action_id, l.kind, l.value
FROM antifraud.action AS l
LEFT JOIN antifraud.action AS t ON t.action_id = l.lifts_action_id AND t.lifts_action_id IS NULL
WHERE
    l.lifts_action_id IS NOT NULL
    AND (
        (l.kind, l.key_kind, l.value, l.member_id, l.points) IS DISTINCT FROM (t.kind, t.key_kind, t.value, t.member_id, t.points)
        OR l.create_time < t.create_time
    )

-- check: what an action put on a list is there while it is in force
SELECT coalesce(e.action_id, f.action_id) AS action_id, coalesce(e.value, f.value) AS value
FROM (SELECT * FROM antifraud.list_entry WHERE action_id <> '00000000-0000-0000-0000-000000000000') AS e
FULL JOIN (SELECT * FROM antifraud.action_in_force WHERE kind IN (3, 4)) AS f
    ON
        f.action_id = e.action_id AND f.key_kind = e.key_kind AND f.value = e.value AND f.kind - 1 = e.list
        AND f.end_time IS NOT DISTINCT FROM e.expire_time
WHERE
    f.action_id IS NULL
    -- An entry that has expired may leave before the action is lifted.
    OR (e.action_id IS NULL AND coalesce(f.end_time > now(), TRUE))

-- check: a rule's action comes of an assessment in which the rule fired
SELECT a.action_id, a.rule, a.assessment_id
FROM antifraud.action AS a
LEFT JOIN antifraud.assessment AS s USING (member_id, assessment_id)
WHERE
    a.rule IS NOT NULL
    AND NOT coalesce(jsonb_path_exists(s.fired, '$[*].rule ? (@ == $name)', jsonb_build_object('name', a.rule)), FALSE)

-- check: an appeal is against an action on its member, and one that was granted has lifted it
SELECT p.appeal_id, p.action_id, p.member_id, p.state
FROM antifraud.appeal AS p
LEFT JOIN antifraud.action AS a ON a.action_id = p.action_id AND a.lifts_action_id IS NULL AND a.member_id = p.member_id
WHERE a.action_id IS NULL OR (p.state = 2 AND EXISTS (SELECT FROM antifraud.action_in_force AS f WHERE f.action_id = p.action_id))
