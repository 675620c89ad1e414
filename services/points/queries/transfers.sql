-- Points that move between members, and to causes.

-- name: insert_lot_origins
INSERT INTO lot_origin (member_id, lot_id, source_member_id, source_lot_id, transaction_id)
SELECT * FROM unnest($1::text[], $2::uuid[], $3::text[], $4::uuid[], $5::uuid[])

-- name: insert_lot_replacements
INSERT INTO lot_replacement (member_id, lot_id, replaced_lot_id)
SELECT * FROM unnest($1::text[], $2::uuid[], $3::uuid[])

-- name: sum_gifts_of_month
SELECT coalesce(sum(points), 0)::bigint
FROM gift
WHERE member_id = $1 AND month = $2

-- name: add_gift
INSERT INTO gift (
    member_id, transaction_id, receiver_member_id, received_transaction_id, points, fee_points, month, create_time
)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)

-- name: add_donation
INSERT INTO donation (
    member_id, certificate_id, transaction_id, points, amount_minor, currency, currency_digits, cause, create_time
)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)

-- name: get_donation
-- The certificate, and whether the ledger says the same: points from active (1) to donated (17).
SELECT
    d.member_id, d.certificate_id, d.transaction_id, d.points, d.amount_minor, d.currency, d.currency_digits, d.cause,
    d.create_time,
    coalesce(t.kind = 11 AND t.sources = '{1}' AND t.targets = '{17}' AND t.points = ARRAY[d.points], false) AS is_booked
FROM donation AS d
LEFT JOIN transaction AS t USING (member_id, transaction_id)
WHERE d.certificate_id = $1
