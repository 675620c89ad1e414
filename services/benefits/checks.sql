-- check: a coupon set aside is in one open reservation, a used one in one redeemed reservation, any other in none
SELECT e.member_id, e.entitlement_id, e.state, e.order_id, u.open_count, u.redeemed_count
FROM benefits.entitlement AS e
LEFT JOIN (
    SELECT
        i.member_id, i.entitlement_id,
        count(*) FILTER (WHERE r.state = 'OPEN') AS open_count,
        count(*) FILTER (WHERE r.state = 'REDEEMED') AS redeemed_count,
        min(r.order_id) AS order_id
    FROM benefits.reservation_item AS i
    LEFT JOIN benefits.reservation AS r USING (member_id, reservation_id)
    WHERE r.state IS DISTINCT FROM 'RELEASED'
    GROUP BY i.member_id, i.entitlement_id
) AS u USING (member_id, entitlement_id)
WHERE
    e.kind = 'UPGRADE_COUPON'
    AND (coalesce(u.open_count, 0), coalesce(u.redeemed_count, 0), coalesce(u.order_id, ''))
    <> ((e.state = 'RESERVED')::integer, (e.state = 'REDEEMED')::integer, e.order_id)

-- check: a cause gives a member a benefit once
SELECT member_id, benefit_id, cause_event_id, count(*) AS times
FROM benefits.entitlement
GROUP BY member_id, benefit_id, cause_event_id
HAVING count(*) > 1

-- check: what was promised for an order is not more than its amount
SELECT r.member_id, r.reservation_id, r.order_amount_minor, sum(i.discount_minor) AS discount_minor
FROM benefits.reservation AS r
INNER JOIN benefits.reservation_item AS i USING (member_id, reservation_id)
GROUP BY r.member_id, r.reservation_id, r.order_amount_minor
HAVING sum(i.discount_minor) > r.order_amount_minor

-- check: a coupon takes no more off than it is worth
SELECT i.member_id, i.reservation_id, i.entitlement_id, i.discount_minor, e.amount_off_minor
FROM benefits.reservation_item AS i
LEFT JOIN benefits.entitlement AS e USING (member_id, entitlement_id)
WHERE
    e.entitlement_id IS NULL
    OR i.single_use <> (e.kind = 'UPGRADE_COUPON')
    OR (e.kind = 'UPGRADE_COUPON' AND i.discount_minor > e.amount_off_minor)

-- check: a standing discount was given by the latest decision about the member's tier
SELECT e.member_id, e.entitlement_id, e.benefit_id, e.cause_event_id, t.cause_event_id AS latest_event_id
FROM benefits.entitlement AS e
LEFT JOIN benefits.member_tier AS t USING (member_id)
WHERE e.kind = 'TIER_DISCOUNT' AND e.state = 'AVAILABLE' AND t.cause_event_id IS DISTINCT FROM e.cause_event_id
