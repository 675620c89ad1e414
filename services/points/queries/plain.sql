-- Plain accruals: to open accounts without debt, a lot and a posting from issued (11) each. What many of them share comes once,
-- in arrays that `terms` points into.

-- name: set_balances
-- Of accounts that are locked.
UPDATE account AS a
SET active = c.active, pending = c.pending
FROM unnest($1::text[], $2::bigint[], $3::bigint[]) AS c (member_id, active, pending)
WHERE a.member_id = c.member_id

-- name: record_accruals
INSERT INTO transaction (
    member_id, transaction_id, kind, sources, targets, points, lot_ids, lot_points, active_after, pending_after,
    held_after, debt_after, program_version, request_id, order_id, occurred_time, record_time, explanation
)
SELECT
    member_id, transaction_id, 1, ARRAY[11], ARRAY[($11::smallint[])[terms]], ARRAY[points], ARRAY[transaction_id],
    ARRAY[points], active_after, pending_after, held_after, 0, ($12::integer[])[terms], request_id, order_id,
    ($13::timestamptz[])[terms], $14::timestamptz, explanation::jsonb
FROM unnest(
    $1::text[], $2::uuid[], $3::text[], $4::text[], $5::bigint[], $6::bigint[], $7::bigint[], $8::bigint[], $9::text[],
    $10::smallint[]
) AS a (
    member_id, transaction_id, request_id, order_id, points, active_after, pending_after, held_after, explanation, terms
)

-- name: open_lots
-- A lot has the id of the accrual that it stems from.
INSERT INTO lot (
    member_id, lot_id, transaction_id, pending, points, remaining, expired, mature_time, expire_time, due_time
)
SELECT
    member_id, transaction_id, transaction_id, ($5::boolean[])[terms], points, points, 0, ($6::timestamptz[])[terms],
    ($7::timestamptz[])[terms], ($8::timestamptz[])[terms]
FROM unnest($1::text[], $2::uuid[], $3::bigint[], $4::smallint[]) AS l (member_id, transaction_id, points, terms)

-- name: remember_accruals
-- In the order of the request ids, as everywhere: two batches must not deadlock over them.
INSERT INTO request (request_id, method, content_hash, response)
SELECT request_id, 'Accrue', content_hash, uuid_send(transaction_id) || convert_to(member_id, 'UTF8')
FROM unnest($1::text[], $2::bytea[], $3::uuid[], $4::text[])
    AS r (request_id, content_hash, transaction_id, member_id)
