-- Accounts as operators see them.

-- name: load_all_lots
SELECT
    l.member_id, l.lot_id, l.transaction_id, l.pending, l.points, l.remaining, l.expired,
    l.mature_time, l.expire_time, l.due_time
FROM lot AS l
WHERE l.member_id = $1 AND l.remaining > 0
ORDER BY l.expire_time, l.lot_id
LIMIT $2

-- name: set_account_state
UPDATE account SET state = $2, merged_into = $3
WHERE member_id = $1

-- name: add_account_action
INSERT INTO account_action (member_id, action_id, kind, operator, identity, reason, transaction_id, create_time)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)

-- name: get_account
SELECT member_id, active, pending, held, debt, state, merged_into, restriction, frozen_time
FROM account
WHERE member_id = $1

-- name: list_account_actions
SELECT member_id, action_id, kind, operator, identity, reason, transaction_id, create_time
FROM account_action
WHERE member_id = $1 AND ($2::uuid IS NULL OR action_id < $2)
ORDER BY action_id DESC
LIMIT $3
