-- Points that operators give or take by hand.

-- name: add_adjustment
INSERT INTO adjustment (
    member_id, adjustment_id, points, state, operator, identity, reason, create_time, decider, decider_identity,
    decision_reason, decide_time, transaction_id
)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)

-- name: decide_adjustment
UPDATE adjustment
SET state = $3, decider = $4, decider_identity = $5, decision_reason = $6, decide_time = $7, transaction_id = $8
WHERE member_id = $1 AND adjustment_id = $2

-- name: get_adjustment
SELECT
    member_id, adjustment_id, points, state, operator, identity, reason, create_time, decider, decider_identity,
    decision_reason, decide_time, transaction_id
FROM adjustment
WHERE adjustment_id = $1

-- name: list_adjustments
SELECT
    member_id, adjustment_id, points, state, operator, identity, reason, create_time, decider, decider_identity,
    decision_reason, decide_time, transaction_id
FROM adjustment
WHERE
    ($1::smallint = 0 OR state = $1) AND ($2::text = '' OR member_id = $2)
    AND ($3::uuid IS NULL OR adjustment_id < $3)
ORDER BY adjustment_id DESC
LIMIT $4
