-- Reservations, and what becomes of the entitlements that they hold.

-- name: add_reservation
INSERT INTO reservation (
    member_id, reservation_id, order_id, state, order_amount_minor, currency, currency_digits,
    create_time, expire_time, program_version
)
VALUES ($1, $2, $3, 'OPEN', $4, $5, $6, $7, $8, $9)

-- name: add_reservation_items
INSERT INTO reservation_item (
    member_id, reservation_id, entitlement_id, position, benefit_id, single_use, discount_minor,
    state
)
SELECT $1, $2, entitlement_id, position, benefit_id, single_use, discount_minor, 'OPEN'
FROM unnest($3::uuid[], $4::smallint[], $5::text[], $6::boolean[], $7::bigint[])
AS t (entitlement_id, position, benefit_id, single_use, discount_minor)
ORDER BY entitlement_id

-- name: set_aside
UPDATE entitlement
SET state = 'RESERVED', order_id = $3
WHERE member_id = $1 AND entitlement_id = ANY($2::uuid[]) AND kind = 'UPGRADE_COUPON'

-- name: lock_reservation
SELECT
    member_id, reservation_id, order_id, state, order_amount_minor, currency, currency_digits,
    expire_time, program_version
FROM reservation
WHERE reservation_id = $1
FOR UPDATE

-- name: lock_expired_reservations
SELECT
    member_id, reservation_id, order_id, state, order_amount_minor, currency, currency_digits,
    expire_time, program_version
FROM reservation
WHERE state = 'OPEN' AND expire_time <= $1
ORDER BY expire_time
LIMIT $2
-- What is being redeemed or released right now needs nobody else.
FOR UPDATE SKIP LOCKED

-- name: get_reservation_items
SELECT entitlement_id, benefit_id, single_use, discount_minor
FROM reservation_item
WHERE member_id = $1 AND reservation_id = $2
ORDER BY position

-- name: end_reservations
UPDATE reservation
SET state = $3, end_time = $4
FROM unnest($1::text[], $2::uuid[]) AS t (member_id, reservation_id)
WHERE reservation.member_id = t.member_id AND reservation.reservation_id = t.reservation_id

-- name: use_entitlements
UPDATE entitlement
SET state = 'REDEEMED'
WHERE member_id = $1 AND entitlement_id = ANY($2::uuid[]) AND kind = 'UPGRADE_COUPON'

-- name: give_back
-- What these reservations held can be used again, unless it ran out meanwhile.
WITH held AS (
    SELECT entitlement.member_id, entitlement.entitlement_id
    FROM unnest($1::text[], $2::uuid[]) AS t (member_id, reservation_id)
    INNER JOIN reservation_item AS item
        ON item.member_id = t.member_id AND item.reservation_id = t.reservation_id
    INNER JOIN entitlement
        ON entitlement.member_id = item.member_id
        AND entitlement.entitlement_id = item.entitlement_id
    WHERE item.single_use AND entitlement.state = 'RESERVED'
    ORDER BY entitlement.member_id, entitlement.entitlement_id
    FOR UPDATE OF entitlement
)

UPDATE entitlement
SET
    state = CASE WHEN entitlement.expire_time <= $3 THEN 'EXPIRED' ELSE 'AVAILABLE' END,
    order_id = ''
FROM held
WHERE entitlement.member_id = held.member_id
AND entitlement.entitlement_id = held.entitlement_id
