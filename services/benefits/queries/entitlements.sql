-- What members hold.

-- name: list_entitlements
SELECT
    member_id, entitlement_id, benefit_id, name, kind, state, percent_off_e2, amount_off_minor,
    order_amount_min_minor, currency, currency_digits, create_time, expire_time, cause_event_id,
    program_version, order_id
FROM entitlement
WHERE member_id = $1
AND ($2::timestamptz IS NULL OR (create_time, entitlement_id) < ($2, $3::uuid))
ORDER BY create_time DESC, entitlement_id DESC
LIMIT $4

-- name: get_usable
-- What a member can use as of $2, and what they named, whatever became of it; bounded, the soonest to expire first.
SELECT
    member_id, entitlement_id, benefit_id, name, kind, state, percent_off_e2, amount_off_minor,
    order_amount_min_minor, currency, currency_digits, create_time, expire_time, cause_event_id,
    program_version, order_id
FROM entitlement
WHERE member_id = $1
AND (
    entitlement_id = ANY($3::uuid[])
    OR state = 'AVAILABLE' AND (expire_time IS NULL OR expire_time > $2)
)
ORDER BY entitlement_id = ANY($3::uuid[]) DESC, expire_time NULLS FIRST, entitlement_id
LIMIT $4

-- name: lock_entitlements
-- In key order, so that reservations cannot deadlock.
SELECT
    member_id, entitlement_id, benefit_id, name, kind, state, percent_off_e2, amount_off_minor,
    order_amount_min_minor, currency, currency_digits, create_time, expire_time, cause_event_id,
    program_version, order_id
FROM entitlement
WHERE member_id = $1 AND entitlement_id = ANY($2::uuid[])
ORDER BY member_id, entitlement_id
FOR UPDATE

-- name: get_standing_discounts
SELECT
    member_id, entitlement_id, benefit_id, name, kind, state, percent_off_e2, amount_off_minor,
    order_amount_min_minor, currency, currency_digits, create_time, expire_time, cause_event_id,
    program_version, order_id
FROM entitlement
WHERE member_id = $1 AND kind = 'TIER_DISCOUNT' AND state = 'AVAILABLE'
ORDER BY entitlement_id

-- name: expire_entitlements
WITH due AS (
    SELECT member_id, entitlement_id
    FROM entitlement
    WHERE kind = 'UPGRADE_COUPON' AND state = 'AVAILABLE' AND expire_time <= $1
    ORDER BY expire_time
    LIMIT $2
    -- What somebody is using right now is looked at in the next step.
    FOR UPDATE SKIP LOCKED
)

UPDATE entitlement
SET state = 'EXPIRED'
FROM due
WHERE entitlement.member_id = due.member_id
AND entitlement.entitlement_id = due.entitlement_id
RETURNING entitlement.entitlement_id
