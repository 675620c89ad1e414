-- Cases: joined with the decision that asks for a review, worked on and decided by people.

-- name: join_cases
-- Each assessment joins the open case of its member, or opens one. In the order of members: two batches must not deadlock. Whoever
-- decides the case at this moment is waited for; it is open no more then, and another one is opened.
WITH added AS (
    SELECT member_id, request_id, assessment_id, kind, score, case_id
    FROM unnest($1::text[], $2::text[], $3::uuid[], $4::smallint[], $5::smallint[], $6::uuid[])
        AS added (member_id, request_id, assessment_id, kind, score, case_id)
),
joined AS (
    INSERT INTO fraud_case AS known (case_id, member_id, state, score, assessment_count, open_time, last_assessment_time)
    SELECT (array_agg(case_id))[1], member_id, 1, max(score), count(*), $7::timestamptz, $7::timestamptz
    FROM added
    GROUP BY member_id
    ORDER BY member_id COLLATE "C"
    ON CONFLICT (member_id) WHERE state = 1 DO UPDATE
    SET
        score = greatest(known.score, excluded.score),
        assessment_count = known.assessment_count + excluded.assessment_count,
        last_assessment_time = greatest(known.last_assessment_time, excluded.last_assessment_time)
    RETURNING member_id, case_id
)
INSERT INTO case_item (member_id, request_id, assessment_id, case_id, kind)
SELECT a.member_id, a.request_id, a.assessment_id, j.case_id, a.kind
FROM added AS a
INNER JOIN joined AS j ON j.member_id = a.member_id

-- name: find_case_items
-- Which of some operations are in a case.
SELECT i.member_id, i.request_id
FROM unnest($1::text[], $2::text[]) AS asked (member_id, request_id)
INNER JOIN case_item AS i ON i.member_id = asked.member_id AND i.request_id = asked.request_id

-- name: find_outcomes
-- How reviews ended, and what they were about.
SELECT i.member_id, i.request_id, c.outcome, a.kind, a.points, a.amount_minor, a.context ->> 'counterparty' AS counterparty
FROM unnest($1::text[], $2::text[]) AS asked (member_id, request_id)
INNER JOIN case_item AS i ON i.member_id = asked.member_id AND i.request_id = asked.request_id
INNER JOIN fraud_case AS c ON c.case_id = i.case_id AND c.state = 2
INNER JOIN assessment AS a ON a.member_id = asked.member_id AND a.request_id = asked.request_id

-- name: get_case
SELECT
    case_id, member_id, state, score, assessment_count, open_time, last_assessment_time, claimant, claim_expire_time,
    outcome, operator, identity, reason, decide_time
FROM fraud_case
WHERE case_id = $1

-- name: lock_case
SELECT
    case_id, member_id, state, score, assessment_count, open_time, last_assessment_time, claimant, claim_expire_time,
    outcome, operator, identity, reason, decide_time
FROM fraud_case
WHERE case_id = $1
FOR UPDATE

-- name: list_oldest_cases
-- Of some states, the oldest after $5; each state by its own index.
SELECT
    case_id, member_id, asked.state, score, assessment_count, open_time, last_assessment_time, claimant, claim_expire_time,
    outcome, operator, identity, reason, decide_time
FROM unnest($1::smallint[]) AS asked (state)
CROSS JOIN LATERAL (
    SELECT
        c.case_id, c.member_id, c.score, c.assessment_count, c.open_time, c.last_assessment_time, c.claimant, c.claim_expire_time,
        c.outcome, c.operator, c.identity, c.reason, c.decide_time
    FROM fraud_case AS c
    WHERE
        c.state = asked.state
        AND ($2::text = '' OR (c.claimant = $2 AND c.claim_expire_time > $3::timestamptz))
        AND ($5::uuid IS NULL OR c.case_id > $5)
    ORDER BY c.case_id
    LIMIT $4
) AS c
ORDER BY case_id
LIMIT $4

-- name: list_highest_cases
-- The same by score, after $5 with a score of $6.
SELECT
    case_id, member_id, asked.state, score, assessment_count, open_time, last_assessment_time, claimant, claim_expire_time,
    outcome, operator, identity, reason, decide_time
FROM unnest($1::smallint[]) AS asked (state)
CROSS JOIN LATERAL (
    SELECT
        c.case_id, c.member_id, c.score, c.assessment_count, c.open_time, c.last_assessment_time, c.claimant, c.claim_expire_time,
        c.outcome, c.operator, c.identity, c.reason, c.decide_time
    FROM fraud_case AS c
    WHERE
        c.state = asked.state
        AND ($2::text = '' OR (c.claimant = $2 AND c.claim_expire_time > $3::timestamptz))
        AND ($5::uuid IS NULL OR c.score < $6::smallint OR (c.score = $6::smallint AND c.case_id > $5))
    ORDER BY c.score DESC, c.case_id
    LIMIT $4
) AS c
ORDER BY score DESC, case_id
LIMIT $4

-- name: list_member_cases
-- Of one member, who has few: by score where $5, else by age; after $6 with a score of $7.
SELECT
    case_id, member_id, state, score, assessment_count, open_time, last_assessment_time, claimant, claim_expire_time,
    outcome, operator, identity, reason, decide_time
FROM fraud_case
WHERE
    member_id = $1 AND state = ANY($2::smallint[])
    AND ($3::text = '' OR (claimant = $3 AND claim_expire_time > $4::timestamptz))
    AND (
        $6::uuid IS NULL
        OR (CASE WHEN $5::boolean THEN -score ELSE 0 END, case_id) > (CASE WHEN $5::boolean THEN -$7::smallint ELSE 0 END, $6)
    )
ORDER BY CASE WHEN $5::boolean THEN -score ELSE 0 END, case_id
LIMIT $8

-- name: claim_case
UPDATE fraud_case SET claimant = $2, claim_expire_time = $3 WHERE case_id = $1

-- name: decide_case
UPDATE fraud_case
SET
    state = 2, claimant = NULL, claim_expire_time = NULL, outcome = $2, operator = $3, identity = $4, reason = $5,
    decide_time = $6
WHERE case_id = $1

-- name: list_case_items
SELECT member_id, request_id, assessment_id, kind
FROM case_item
WHERE case_id = $1 AND assessment_id > $2
ORDER BY assessment_id
LIMIT $3

-- name: note_untold
INSERT INTO case_untold (case_id, after_id)
VALUES ($1, $2)
ON CONFLICT (case_id) DO UPDATE SET after_id = excluded.after_id

-- name: take_untold
-- A decided case that is not told of to its end, and that no other process is at.
SELECT case_id, after_id
FROM case_untold
LIMIT 1
FOR UPDATE SKIP LOCKED

-- name: forget_untold
DELETE FROM case_untold WHERE case_id = $1

-- name: list_case_assessments
SELECT
    a.member_id, a.request_id, a.assessment_id, a.kind, a.action, a.score, a.program_version, a.points, a.amount_minor, a.tier_id,
    a.type, a.order_id, a.occurred_time, a.create_time, a.fired, a.context
FROM (
    SELECT member_id, request_id, assessment_id
    FROM case_item
    WHERE case_id = $1 AND ($2::uuid IS NULL OR assessment_id < $2)
    ORDER BY assessment_id DESC
    LIMIT $3
) AS i
INNER JOIN assessment AS a ON a.member_id = i.member_id AND a.request_id = i.request_id
ORDER BY a.assessment_id DESC

-- name: find_device_links
-- The next member behind the last one, again and again: however often each of them used the device.
WITH RECURSIVE linked AS (
    SELECT value, ''::text COLLATE "C" AS member_id, 0 AS number FROM unnest($1::text[]) AS shared (value)
    UNION ALL
    SELECT l.value, n.member_id, l.number + 1
    FROM linked AS l
    CROSS JOIN LATERAL (
        SELECT a.member_id
        FROM assessment AS a
        WHERE a.context ->> 'device' IS NOT NULL AND a.context ->> 'device' = l.value AND a.member_id > l.member_id
        ORDER BY a.member_id
        LIMIT 1
    ) AS n
    WHERE l.number < $3
)
SELECT member_id, value FROM linked WHERE number > 0 AND member_id <> $2 LIMIT $3

-- name: find_card_links
WITH RECURSIVE linked AS (
    SELECT value, ''::text COLLATE "C" AS member_id, 0 AS number FROM unnest($1::text[]) AS shared (value)
    UNION ALL
    SELECT l.value, n.member_id, l.number + 1
    FROM linked AS l
    CROSS JOIN LATERAL (
        SELECT a.member_id
        FROM assessment AS a
        WHERE a.context ->> 'card' IS NOT NULL AND a.context ->> 'card' = l.value AND a.member_id > l.member_id
        ORDER BY a.member_id
        LIMIT 1
    ) AS n
    WHERE l.number < $3
)
SELECT member_id, value FROM linked WHERE number > 0 AND member_id <> $2 LIMIT $3

-- name: find_givers
-- Who gave to a member, or asked to.
WITH RECURSIVE linked AS (
    SELECT ''::text COLLATE "C" AS member_id, 0 AS number
    UNION ALL
    SELECT n.member_id, l.number + 1
    FROM linked AS l
    CROSS JOIN LATERAL (
        SELECT a.member_id
        FROM assessment AS a
        WHERE
            a.context ->> 'counterparty' IS NOT NULL AND a.context ->> 'counterparty' = $1 AND a.member_id > l.member_id
            AND a.type = 'gift'
        ORDER BY a.member_id
        LIMIT 1
    ) AS n
    WHERE l.number < $2
)
SELECT member_id FROM linked WHERE number > 0 AND member_id <> $1

-- name: find_receivers
-- Whom a member gave to, or asked to.
SELECT DISTINCT context ->> 'counterparty' AS member_id
FROM assessment
WHERE member_id = $1 AND type = 'gift' AND context ->> 'counterparty' <> $1
ORDER BY 1
LIMIT $2

-- name: count_frauds
SELECT member_id, count(*) AS frauds FROM label WHERE member_id = ANY($1::text[]) AND is_fraud GROUP BY member_id

-- name: set_labels
-- The last one stands; but a large case is labelled in steps, and what somebody said meanwhile ($6) is later than its decision.
INSERT INTO label (member_id, request_id, is_fraud, operator, label_time)
SELECT member_id, request_id, is_fraud, $4, $5
FROM unnest($1::text[], $2::text[], $3::boolean[]) AS found (member_id, request_id, is_fraud)
ORDER BY member_id COLLATE "C", request_id COLLATE "C"
ON CONFLICT (member_id, request_id) DO UPDATE
SET is_fraud = excluded.is_fraud, operator = excluded.operator, label_time = excluded.label_time
WHERE NOT $6::boolean OR label.label_time <= excluded.label_time
