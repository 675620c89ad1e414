-- What events change: the tier that is known of a member, and what is given or withdrawn for it.

-- name: advance_tiers
-- The members whose known tier this batch moves on; a decision that is older than the known one moves nothing.
INSERT INTO member_tier (member_id, tier_id, cause_event_id, occurred_time, record_time)
SELECT member_id, tier_id, cause_event_id, occurred_time, record_time
FROM unnest($1::text[], $2::text[], $3::uuid[], $4::timestamptz[], $5::timestamptz[])
AS t (member_id, tier_id, cause_event_id, occurred_time, record_time)
-- In key order, so that batches cannot deadlock.
ORDER BY member_id
ON CONFLICT (member_id) DO UPDATE
SET tier_id = excluded.tier_id,
cause_event_id = excluded.cause_event_id,
occurred_time = excluded.occurred_time,
record_time = excluded.record_time
WHERE (excluded.occurred_time, excluded.record_time, excluded.cause_event_id)
> (member_tier.occurred_time, member_tier.record_time, member_tier.cause_event_id)
RETURNING member_id

-- name: start_tiers
-- Enrolment puts a member who is not known yet on the first tier; any decision overrules that.
INSERT INTO member_tier (member_id, tier_id, cause_event_id, occurred_time, record_time)
SELECT member_id, tier_id, cause_event_id, '-infinity', '-infinity'
FROM unnest($1::text[], $2::text[], $3::uuid[]) AS t (member_id, tier_id, cause_event_id)
ORDER BY member_id
ON CONFLICT (member_id) DO NOTHING
RETURNING member_id

-- name: withdraw_discounts
WITH standing AS (
    SELECT member_id, entitlement_id
    FROM entitlement
    WHERE member_id = ANY($1::text[]) AND kind = 'TIER_DISCOUNT' AND state = 'AVAILABLE'
    ORDER BY member_id, entitlement_id
    FOR UPDATE
)

UPDATE entitlement
SET state = 'WITHDRAWN'
FROM standing
WHERE entitlement.member_id = standing.member_id
AND entitlement.entitlement_id = standing.entitlement_id

-- name: grant_entitlements
-- Those that are new; what the same cause has given already stays as it is.
INSERT INTO entitlement (
    member_id, entitlement_id, benefit_id, name, kind, state, percent_off_e2, amount_off_minor,
    order_amount_min_minor, currency, currency_digits, create_time, expire_time, cause_event_id,
    program_version
)
SELECT
    member_id, entitlement_id, benefit_id, name, kind, 'AVAILABLE', percent_off_e2, amount_off_minor,
    order_amount_min_minor, currency, currency_digits, create_time, expire_time, cause_event_id,
    program_version
FROM unnest(
    $1::text[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::integer[], $7::bigint[],
    $8::bigint[], $9::text[], $10::smallint[], $11::timestamptz[], $12::timestamptz[],
    $13::uuid[], $14::integer[]
) AS t (
    member_id, entitlement_id, benefit_id, name, kind, percent_off_e2, amount_off_minor,
    order_amount_min_minor, currency, currency_digits, create_time, expire_time, cause_event_id,
    program_version
)
ORDER BY member_id, entitlement_id
ON CONFLICT (member_id, benefit_id, cause_event_id) DO NOTHING
RETURNING entitlement_id
