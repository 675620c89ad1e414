-- Decisions: looked up by request id, kept once, listed by member.

-- name: find_assessments
-- OFFSET 0 keeps it a probe of the key per row, whatever the planner believes about the size of the table.
SELECT
    found.member_id, found.request_id, found.assessment_id, found.action, found.score, found.program_version, found.kind, found.points,
    found.amount_minor, found.context ->> 'counterparty' AS counterparty
FROM unnest($1::text[], $2::text[]) AS asked (member_id, request_id)
CROSS JOIN LATERAL (
    SELECT member_id, request_id, assessment_id, action, score, program_version, kind, points, amount_minor, context
    FROM assessment
    WHERE member_id = asked.member_id AND request_id = asked.request_id
    OFFSET 0
) AS found

-- name: add_assessments
-- The rows come in the order of the key: two batches that share request ids must not deadlock. One that is there
-- already breaks the key and undoes the batch; ON CONFLICT would look each of them up before, for a fifth of the time. Where all of them
-- are plainly allowed (1), nothing is told of actions, scores and rules.
INSERT INTO assessment (
    member_id, request_id, assessment_id, kind, action, score, program_version, points, amount_minor, tier_id, type, order_id,
    occurred_time, create_time, fired, context
)
SELECT
    member_id, request_id, assessment_id, ($8::smallint[])[shared], coalesce(action, 1), coalesce(score, 0),
    ($9::integer[])[shared], points, amount_minor, ($10::text[])[shared], ($11::text[])[shared], order_id,
    ($13::timestamptz[])[instant], $18::timestamptz, nullif(fired, '')::jsonb, nullif(context, '')::jsonb
FROM (
    SELECT
        member_id, request_id, points, amount_minor, order_id, context, assessment_id, action, score, fired,
        coalesce(shared, ($7::smallint[])[1]) AS shared, coalesce(instant, ($12::smallint[])[1]) AS instant
    FROM unnest(
        split_texts($1::text), split_texts($2::text), $3::bigint[], $4::bigint[], split_texts($5::text), split_texts($6::text),
        $7::smallint[], $12::smallint[], $14::uuid[], $15::smallint[], $16::smallint[], split_texts($17::text)
    ) AS a (
        member_id, request_id, points, amount_minor, order_id, context, shared, instant, assessment_id, action, score, fired
    )
) AS added

-- name: list_assessments
SELECT
    member_id, request_id, assessment_id, kind, action, score, program_version, points, amount_minor, tier_id, type, order_id,
    occurred_time, create_time, fired, context
FROM assessment
WHERE
    member_id = $1
    AND ($2::smallint = 0 OR action = $2::smallint)
    AND ($3::uuid IS NULL OR assessment_id < $3::uuid)
ORDER BY assessment_id DESC
LIMIT $4
