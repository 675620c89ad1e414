-- What rules count from one activity to the next, and what they know of members.

-- name: load_progress
SELECT p.member_id, p.name, p.period, p.amount, p.day, p.reached, p.bonus_transaction_id
FROM unnest($1::text[], $2::text[], $3::text[]) AS asked (member_id, name, period)
INNER JOIN progress AS p USING (member_id, name, period)

-- name: load_bonuses
-- Bonuses of members, and whether the activity that completed each still waits for a verdict.
SELECT
    b.transaction_id, b.occurred_time, b.program_version, coalesce(b.explanation ->> 'region', '') AS region,
    (b.explanation ->> 'review')::boolean AND NOT coalesce(v.is_legitimate AND v.settle_time IS NOT NULL, false) AS under_review
FROM unnest($1::text[], $2::uuid[]) AS asked (member_id, transaction_id)
INNER JOIN transaction AS b USING (member_id, transaction_id)
LEFT JOIN transaction AS c ON c.member_id = b.member_id AND c.transaction_id = (b.explanation ->> 'cause')::uuid
LEFT JOIN review_verdict AS v ON v.member_id = c.member_id AND v.request_id = c.request_id

-- name: load_team_progress
SELECT p.team_id, p.name, p.period, p.amount, p.day, p.reached
FROM unnest($1::text[], $2::text[], $3::text[]) AS asked (team_id, name, period)
INNER JOIN team_progress AS p USING (team_id, name, period)

-- name: lock_teams
-- After the accounts, and in key order, so that batches cannot deadlock.
SELECT team_id FROM team WHERE team_id = ANY($1::text[]) ORDER BY team_id FOR UPDATE

-- name: count_orders
-- Purchases of members up to now, but for those that were returned whole: what `orders` begins with.
SELECT t.member_id, count(*) AS orders
FROM transaction AS t
LEFT JOIN accrual_return AS r USING (member_id, transaction_id)
WHERE
    t.member_id = ANY($1::text[]) AND t.kind = 1 AND t.order_id IS NOT NULL
    AND (r.returned_minor IS NULL OR r.returned_minor < (t.explanation ->> 'spend')::bigint)
GROUP BY t.member_id

-- name: save_progress
INSERT INTO progress (member_id, name, period, amount, day, reached, bonus_transaction_id)
SELECT *
FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::integer[], $6::integer[], $7::uuid[])
ON CONFLICT (member_id, name, period) DO UPDATE
SET
    amount = excluded.amount, day = excluded.day, reached = excluded.reached,
    bonus_transaction_id = excluded.bonus_transaction_id

-- name: save_team_progress
INSERT INTO team_progress (team_id, name, period, amount, day, reached)
SELECT *
FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::integer[], $6::integer[])
ON CONFLICT (team_id, name, period) DO UPDATE
SET amount = excluded.amount, day = excluded.day, reached = excluded.reached

-- name: find_member_facts
SELECT
    asked.member_id, f.member_id IS NOT NULL AS is_known, coalesce(f.birth_month, 0) AS birth_month, f.enrol_time,
    coalesce(t.team_id, '') AS team_id
FROM unnest($1::text[]) AS asked (member_id)
LEFT JOIN member_fact AS f ON f.member_id = asked.member_id
LEFT JOIN team_member AS t ON t.member_id = asked.member_id

-- name: find_cards
SELECT member_id, card, grant_time, expire_time, used_time
FROM member_card
WHERE
    member_id = ANY($1::text[]) AND (expire_time IS NULL OR expire_time > $2)
    AND (used_time IS NULL OR used_time > $2)
ORDER BY member_id, grant_time

-- name: note_members
INSERT INTO member_fact (member_id, birth_month, enrol_time)
SELECT member_id, birth_month, enrol_time
FROM unnest($1::text[], $2::smallint[], $3::timestamptz[]) AS told (member_id, birth_month, enrol_time)
ORDER BY member_id
ON CONFLICT (member_id) DO UPDATE
SET
    birth_month = CASE WHEN excluded.birth_month > 0 THEN excluded.birth_month ELSE member_fact.birth_month END,
    enrol_time = coalesce(excluded.enrol_time, member_fact.enrol_time)

-- name: note_cards
-- A card that was used before it was heard of stays used.
INSERT INTO member_card (member_id, entitlement_id, card, grant_time, expire_time, used_time)
SELECT member_id, entitlement_id, card, grant_time, expire_time, used_time
FROM unnest($1::text[], $2::uuid[], $3::text[], $4::timestamptz[], $5::timestamptz[], $6::timestamptz[])
    AS told (member_id, entitlement_id, card, grant_time, expire_time, used_time)
ORDER BY member_id, entitlement_id
ON CONFLICT (member_id, entitlement_id) DO UPDATE
SET
    grant_time = least(excluded.grant_time, member_card.grant_time),
    expire_time = coalesce(excluded.expire_time, member_card.expire_time),
    used_time = coalesce(excluded.used_time, member_card.used_time)

-- name: list_progress
SELECT member_id, name, period, amount, day, reached, bonus_transaction_id
FROM progress
WHERE member_id = $1 AND name = ANY($2::text[])

-- name: grant_team_bonuses
-- To whoever is in the team now; once for each period.
INSERT INTO team_bonus (
    member_id, name, period, team_id, points, badge, reason, program_version, occurred_time, cause_transaction_id
)
SELECT
    m.member_id, b.name, b.period, b.team_id, b.points, b.badge, b.reason, b.program_version, b.occurred_time,
    b.cause_transaction_id
FROM unnest(
    $1::text[], $2::text[], $3::text[], $4::bigint[], $5::text[], $6::text[], $7::integer[], $8::timestamptz[],
    $9::uuid[]
) AS b (team_id, name, period, points, badge, reason, program_version, occurred_time, cause_transaction_id)
INNER JOIN team_member AS m USING (team_id)
ORDER BY m.member_id, b.name, b.period
ON CONFLICT (member_id, name, period) DO NOTHING

-- name: find_due_bonuses
SELECT member_id, name, period
FROM team_bonus
WHERE book_time IS NULL
ORDER BY occurred_time, member_id
LIMIT $1

-- name: load_due_bonuses
SELECT
    b.member_id, b.name, b.period, b.team_id, b.points, b.badge, b.reason, b.program_version, b.occurred_time,
    b.cause_transaction_id
FROM unnest($1::text[], $2::text[], $3::text[]) AS asked (member_id, name, period)
INNER JOIN team_bonus AS b USING (member_id, name, period)
WHERE b.book_time IS NULL
ORDER BY b.member_id, b.occurred_time, b.name

-- name: settle_bonuses
UPDATE team_bonus AS b
SET book_time = $4::timestamptz, transaction_id = d.transaction_id
FROM unnest($1::text[], $2::text[], $3::text[], $5::uuid[]) AS d (member_id, name, period, transaction_id)
WHERE b.member_id = d.member_id AND b.name = d.name AND b.period = d.period

-- name: add_team
INSERT INTO team (team_id, name, create_time) VALUES ($1, $2, $3) ON CONFLICT (team_id) DO NOTHING RETURNING team_id

-- name: lock_team
SELECT team_id, name, member_count, create_time FROM team WHERE team_id = $1 FOR UPDATE

-- name: get_team
SELECT team_id, name, member_count, create_time FROM team WHERE team_id = $1

-- name: list_team_members
SELECT member_id FROM team_member WHERE team_id = $1 ORDER BY member_id

-- name: add_team_member
INSERT INTO team_member (member_id, team_id, join_time) VALUES ($1, $2, $3)
ON CONFLICT (member_id) DO NOTHING
RETURNING member_id

-- name: get_team_of
SELECT team_id FROM team_member WHERE member_id = $1

-- name: remove_team_member
DELETE FROM team_member WHERE member_id = $1 AND team_id = $2 RETURNING member_id

-- name: count_team
UPDATE team SET member_count = member_count + $2::integer WHERE team_id = $1
