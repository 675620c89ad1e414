-- Verdicts on what was under review. The accounts of their members are locked.

-- name: find_owners
-- For each member, who has the account now that theirs was merged into, step by step; the members themselves come first.
WITH RECURSIVE chain AS (
    SELECT member_id, member_id AS owner_id, 0 AS depth
    FROM unnest($1::text[]) AS asked (member_id)
    UNION ALL
    SELECT c.member_id, a.merged_into, c.depth + 1
    FROM chain AS c
    INNER JOIN account AS a ON a.member_id = c.owner_id AND a.merged_into IS NOT NULL
    WHERE c.depth < 100
)
SELECT member_id, owner_id FROM chain ORDER BY member_id, depth

-- name: note_verdicts
-- The first verdict stays.
INSERT INTO review_verdict (member_id, request_id, is_legitimate, cause, record_time)
SELECT member_id, request_id, is_legitimate, cause, $5::timestamptz
FROM unnest($1::text[], $2::text[], $3::boolean[], $4::text[]) AS told (member_id, request_id, is_legitimate, cause)
ORDER BY member_id, request_id
ON CONFLICT (member_id, request_id) DO NOTHING

-- name: load_verdicts
SELECT member_id, request_id, is_legitimate, cause
FROM unnest($1::text[], $2::text[]) AS asked (member_id, request_id)
INNER JOIN review_verdict AS v USING (member_id, request_id)

-- name: load_unsettled
-- Verdicts that settled nothing yet, with what is remembered of their request.
SELECT v.member_id, v.request_id, v.is_legitimate, v.cause, r.response
FROM unnest($1::text[], $2::text[]) AS asked (member_id, request_id)
INNER JOIN review_verdict AS v USING (member_id, request_id)
INNER JOIN request AS r USING (request_id)
WHERE v.settle_time IS NULL AND r.method = 'Accrue'
ORDER BY v.member_id, v.request_id

-- name: close_verdicts
UPDATE review_verdict AS v
SET accrual_transaction_id = s.accrual_id, transaction_id = s.transaction_id, settle_time = $5::timestamptz
FROM unnest($1::text[], $2::text[], $3::uuid[], $4::uuid[]) AS s (member_id, request_id, accrual_id, transaction_id)
WHERE v.member_id = s.member_id AND v.request_id = s.request_id

-- name: sum_lost_bonuses
-- What returns took back of bonuses so far, whoever had the account then: also one that it was merged into and came out of again.
WITH RECURSIVE owner AS (
    SELECT member_id FROM unnest($1::text[]) AS asked (member_id)
    UNION
    SELECT m.member_id
    FROM owner AS o
    INNER JOIN merge AS m ON m.merged_member_id = o.member_id
)
SELECT lost.id AS bonus_id, sum(lost.points)::bigint AS points
FROM transaction AS t
CROSS JOIN LATERAL jsonb_to_recordset(t.explanation -> 'lost_bonuses') AS lost (id uuid, points bigint)
WHERE t.member_id = ANY(ARRAY(SELECT o.member_id FROM owner AS o)) AND t.kind = 7 AND lost.id = ANY($2::uuid[])
GROUP BY lost.id

-- name: find_first_lots
-- For lots that came from other members by merges, the lot that the accrual itself had left.
WITH RECURSIVE chain AS (
    SELECT member_id, lot_id, member_id AS at_member_id, lot_id AS at_lot_id, 0 AS depth
    FROM unnest($1::text[], $2::uuid[]) AS asked (member_id, lot_id)
    UNION ALL
    SELECT c.member_id, c.lot_id, o.source_member_id, o.source_lot_id, c.depth + 1
    FROM chain AS c
    INNER JOIN lot_origin AS o ON o.member_id = c.at_member_id AND o.lot_id = c.at_lot_id
    WHERE c.depth < 100
)
SELECT DISTINCT ON (lot_id) lot_id, at_lot_id AS first_lot_id
FROM chain
ORDER BY lot_id, depth DESC
