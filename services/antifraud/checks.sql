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
    -- A shadow rule is recorded and decides nothing.
    WHERE (rule ->> 'shadow')::boolean IS NOT TRUE
) AS f
WHERE a.action <> f.action

-- check: a score is the sum of the rules that fired, 1,000 at most
SELECT a.member_id, a.request_id, a.score, f.score AS of_rules
FROM antifraud.assessment AS a
CROSS JOIN LATERAL (
    SELECT least(coalesce(sum((rule ->> 'score')::integer), 0), 1000) AS score
    FROM jsonb_array_elements(a.fired) AS rule
    WHERE (rule ->> 'shadow')::boolean IS NOT TRUE
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

-- check: what was challenged is booked only once the challenge is solved, and pending where others asked for a review
SELECT t.member_id, t.transaction_id, t.kind, a.request_id
FROM points.transaction AS t
INNER JOIN antifraud.assessment AS a ON a.member_id = t.member_id AND a.assessment_id::text = t.explanation ->> 'assessment'
LEFT JOIN antifraud.case_item AS i ON i.member_id = a.member_id AND i.request_id = a.request_id
LEFT JOIN antifraud.fraud_case AS f ON f.case_id = i.case_id
WHERE
    t.kind IN (1, 3, 9, 11, 18)
    AND a.action = 4
    AND (
        NOT EXISTS (
            SELECT 1 FROM antifraud.challenge AS c
            WHERE c.member_id = a.member_id AND c.request_id = a.request_id AND c.state = 2
        )
        OR (
            EXISTS (
                SELECT 1 FROM jsonb_array_elements(a.fired) AS rule
                WHERE (rule ->> 'action')::integer = 2 AND (rule ->> 'shadow')::boolean IS NOT TRUE
            )
            AND f.outcome IS DISTINCT FROM 1
            AND (t.kind <> 1 OR (t.explanation ->> 'review')::boolean IS NOT TRUE)
        )
    )

-- check: what is to be reviewed is in a case of its member, and nothing else is
-- What was challenged joins one where the other rules ask for a review, once the challenge is solved.
SELECT a.member_id, a.request_id, a.action, i.case_id, i.member_id AS item_member_id, c.member_id AS case_member_id
FROM (SELECT member_id, request_id, assessment_id, action, kind FROM antifraud.assessment WHERE action IN (2, 4)) AS a
FULL JOIN antifraud.case_item AS i ON i.member_id = a.member_id AND i.request_id = a.request_id
LEFT JOIN antifraud.fraud_case AS c ON c.case_id = i.case_id
WHERE
    a.action IS NULL OR (a.action = 2 AND i.case_id IS NULL)
    OR (
        i.case_id IS NOT NULL
        AND (
            c.member_id IS DISTINCT FROM i.member_id
            OR (a.assessment_id, a.kind) IS DISTINCT FROM (i.assessment_id, i.kind)
        )
    )

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
-- A large case is labelled in steps.
LEFT JOIN antifraud.case_untold AS u ON u.case_id = i.case_id
WHERE l.request_id IS NULL AND (u.after_id IS NULL OR i.assessment_id <= u.after_id)

-- check: the memory of a key stays small
SELECT key, dimension, kind, length(entries) AS size
FROM antifraud.velocity
WHERE length(entries) > 32768

-- check: a counter is filled from no assessment that may still be on its way
SELECT version, cursor_time, safe_time
FROM antifraud.velocity_fill
WHERE cursor_time > safe_time

-- check: what is remembered of a member is of bounded size, and nothing was last before it was first
SELECT member_id, state
FROM antifraud.profile
WHERE
    jsonb_array_length(coalesce(state -> 'devices', '[]')) > 32
    OR jsonb_array_length(coalesce(state -> 'refunds', '[]')) > 90
    OR jsonb_array_length(coalesce(state #> '{tags,1}', '[]')) > 32
    OR EXISTS (
        SELECT 1 FROM jsonb_array_elements(state -> 'devices') AS device
        WHERE (device ->> 1)::bigint > (device ->> 2)::bigint OR (device ->> 1)::bigint < (state ->> 'first_device')::bigint
    )

-- check: a member's own history is of operations that were assessed and not refused
SELECT p.member_id, h.kind, h.series ->> 0 AS counted, a.number AS assessed
FROM antifraud.profile AS p
CROSS JOIN LATERAL jsonb_each(p.state -> 'history') AS h (kind, series)
LEFT JOIN (
    SELECT member_id, kind, count(*) AS number
    FROM antifraud.assessment
    WHERE action = 1 OR (action = 2 AND kind = 1)
    GROUP BY member_id, kind
) AS a ON a.member_id = p.member_id AND a.kind = h.kind::smallint
WHERE (h.series ->> 0)::bigint > coalesce(a.number, 0)

-- check: a gift that is remembered was assessed and not refused
SELECT g.giver, g.receiver, g.last_time
FROM antifraud.gift AS g
LEFT JOIN antifraud.assessment AS a ON
    a.member_id = g.giver AND a.occurred_time = g.last_time AND a.context ->> 'counterparty' = g.receiver
    AND (a.action = 1 OR (a.action = 2 AND a.kind = 1))
WHERE a.member_id IS NULL

-- check: a challenge is bound to what was assessed
SELECT c.member_id, c.request_id, c.number
FROM antifraud.challenge AS c
LEFT JOIN antifraud.assessment AS a ON a.member_id = c.member_id AND a.request_id = c.request_id AND a.action = 4
WHERE
    a.request_id IS NULL
    OR (a.kind, a.points, a.amount_minor) IS DISTINCT FROM (c.kind, c.points, c.amount_minor)

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
