-- name: get_balance
SELECT a.active, a.pending, a.held, a.debt, e.expire_time, e.points
FROM account AS a
LEFT JOIN LATERAL (
    SELECT l.expire_time, sum(l.remaining)::bigint AS points
    FROM lot AS l
    WHERE l.member_id = a.member_id AND l.remaining > 0 AND NOT l.pending AND l.expire_time IS NOT NULL
    GROUP BY l.expire_time
    ORDER BY l.expire_time
    LIMIT 1
) AS e ON true
WHERE a.member_id = $1

-- name: list_transactions
SELECT
    t.member_id, t.transaction_id, t.kind, t.sources, t.targets, t.points, t.lot_ids, t.lot_points,
    t.active_after, t.pending_after, t.held_after, t.debt_after, t.program_version, t.request_id, t.order_id, t.hold_id,
    t.reversed_transaction_id, t.occurred_time, t.record_time, t.explanation
FROM transaction AS t
WHERE t.member_id = $1 AND ($2::uuid IS NULL OR t.transaction_id < $2)
ORDER BY t.transaction_id DESC
LIMIT $3

-- name: get_transactions
SELECT
    t.member_id, t.transaction_id, t.kind, t.sources, t.targets, t.points, t.lot_ids, t.lot_points,
    t.active_after, t.pending_after, t.held_after, t.debt_after, t.program_version, t.request_id, t.order_id, t.hold_id,
    t.reversed_transaction_id, t.occurred_time, t.record_time, t.explanation
FROM unnest($1::text[], $2::uuid[]) AS asked (member_id, transaction_id)
INNER JOIN transaction AS t USING (member_id, transaction_id)

-- name: get_lot_origins
SELECT l.lot_id, l.transaction_id, l.expire_time
FROM unnest($1::text[], $2::uuid[]) AS asked (member_id, lot_id)
INNER JOIN lot AS l USING (member_id, lot_id)

-- name: take_snapshot
SET TRANSACTION ISOLATION LEVEL REPEATABLE READ

-- name: sum_accounts
-- Every posting leaves one account and enters another: the totals sum to 0.
SELECT account, sum(points)::bigint AS points
FROM (
    SELECT unnest(t.sources) AS account, -unnest(t.points) AS points FROM transaction AS t
    UNION ALL
    SELECT unnest(t.targets), unnest(t.points) FROM transaction AS t
) AS entry
GROUP BY account
ORDER BY account

-- name: count_ledger
SELECT
    (SELECT count(*) FROM transaction) AS transaction_count,
    (SELECT count(*) FROM account) AS member_count
