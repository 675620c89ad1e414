-- name: get_balances
-- Balances of members at an instant $2 that is now: points whose end has come do not count any more, booked or not. `lot_open` serves
-- both looks at active lots: those that ended and wait to be booked are few, and of the others only the next date is read. Of pending ones
-- `lot_pending_to_end` has those that end before they can become active. OFFSET 0 keeps it a probe of the key for each member, however few
-- accounts there were when it was planned.
SELECT
    a.member_id, a.active - coalesce(ended.points, 0) AS active, a.pending - coalesce(ended_pending.points, 0) AS pending, a.held, a.debt,
    next.expire_time, next.points
FROM unnest($1::text[]) AS asked (member_id)
CROSS JOIN LATERAL (
    SELECT member_id, active, pending, held, debt, frozen_time FROM account WHERE member_id = asked.member_id OFFSET 0
) AS a
CROSS JOIN LATERAL (
    SELECT sum(l.remaining)::bigint AS points
    FROM lot AS l
    -- What would have ended since anti-fraud froze the account has not; without a freeze the least of both is now.
    WHERE l.member_id = a.member_id AND l.remaining > 0 AND NOT l.pending AND l.expire_time <= least($2, a.frozen_time)
) AS ended
CROSS JOIN LATERAL (
    SELECT sum(l.remaining)::bigint AS points
    FROM lot AS l
    WHERE
        a.pending > 0 AND l.member_id = a.member_id AND l.remaining > 0 AND l.pending
        AND (l.mature_time IS NULL OR l.mature_time >= l.expire_time) AND l.expire_time <= least($2, a.frozen_time)
) AS ended_pending
LEFT JOIN LATERAL (
    SELECT l.expire_time, sum(l.remaining)::bigint AS points
    FROM lot AS l
    WHERE l.member_id = a.member_id AND l.remaining > 0 AND NOT l.pending AND l.expire_time > least($2, a.frozen_time)
    GROUP BY l.expire_time
    ORDER BY l.expire_time
    LIMIT 1
) AS next ON true

-- name: get_balance_at
-- What was recorded for a member at or before an instant: the balance now less all that was recorded later, in one snapshot. No order of
-- transactions is trusted: an accrual may have got its id, and its record time, before another that was booked ahead of it. Ids begin with
-- the time at which they were made: where one was recorded by the instant, none that was made ten minutes before it was recorded later.
WITH last AS MATERIALIZED (
    SELECT to_timestamp(('x' || translate(left(t.transaction_id::text, 13), '-', ''))::bit(48)::bigint / 1000.0) AS id_time
    FROM transaction AS t
    WHERE t.member_id = $1 AND t.record_time <= $2
    ORDER BY t.transaction_id DESC
    LIMIT 1
)
SELECT
    (a.active - coalesce(late.active, 0))::bigint AS active,
    (a.pending - coalesce(late.pending, 0))::bigint AS pending,
    (a.held - coalesce(late.held, 0))::bigint AS held,
    (a.debt + coalesce(late.debt, 0))::bigint AS debt
FROM last
INNER JOIN account AS a ON a.member_id = $1
CROSS JOIN LATERAL (
    SELECT
        sum(entry.points) FILTER (WHERE entry.account = 1) AS active, sum(entry.points) FILTER (WHERE entry.account = 2) AS pending,
        sum(entry.points) FILTER (WHERE entry.account = 3) AS held, sum(entry.points) FILTER (WHERE entry.account = 4) AS debt
    FROM transaction AS t
    CROSS JOIN LATERAL (
        SELECT unnest(t.targets) AS account, unnest(t.points) AS points
        UNION ALL
        SELECT unnest(t.sources), -unnest(t.points)
    ) AS entry
    WHERE
        t.member_id = $1 AND t.transaction_id >= uuid7_floor(last.id_time - interval '10 minutes') AND t.record_time > $2
) AS late

-- name: list_dates
-- By day of the zone $2, what expires of a member's active points and what becomes active of the pending ones; no day for what never
-- does. Points whose end has come are left out, as in the balance; what anti-fraud has frozen since keeps its day.
SELECT
    l.pending, (due.due_time AT TIME ZONE $2::text)::date AS day, min(due.due_time) AS first_time, sum(l.remaining)::bigint AS points
FROM lot AS l
CROSS JOIN LATERAL (SELECT CASE WHEN l.pending THEN l.mature_time ELSE l.expire_time END AS due_time) AS due
WHERE
    l.member_id = $1 AND l.remaining > 0
    AND (
        l.expire_time IS NULL OR (l.pending AND l.mature_time < l.expire_time)
        OR l.expire_time > least($3, (SELECT frozen_time FROM account WHERE member_id = $1))
    )
GROUP BY 1, 2
ORDER BY 1, 2

-- name: list_transactions
-- Newest first, older than $2. The member's part of the primary key is walked; the filters are looked at on the way.
SELECT
    t.member_id, t.transaction_id, t.kind, t.sources, t.targets, t.points, t.lot_ids, t.lot_points,
    t.active_after, t.pending_after, t.held_after, t.debt_after, t.program_version, t.request_id, t.order_id, t.hold_id,
    t.reversed_transaction_id, t.occurred_time, t.record_time, t.explanation
FROM transaction AS t
WHERE
    t.member_id = $1 AND t.transaction_id < $2
    AND ($4::smallint[] IS NULL OR t.kind = ANY($4))
    AND ($5::timestamptz IS NULL OR t.occurred_time >= $5)
    AND ($6::timestamptz IS NULL OR t.occurred_time < $6)
    AND ($7::text IS NULL OR t.order_id = $7)
    AND ($8::uuid IS NULL OR t.hold_id = $8)
    AND ($9::uuid IS NULL OR $9 = ANY(t.lot_ids))
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

-- name: get_drawn_lots
-- The lots that holds drew from, in the order they were drawn and will be spent.
-- A hold that a merge has moved is found where it is now.
SELECT h.hold_id, h.lot_id, h.points, l.transaction_id
FROM unnest($1::text[], $2::uuid[]) AS asked (member_id, hold_id)
INNER JOIN hold AS o ON o.hold_id = asked.hold_id
INNER JOIN hold_lot AS h ON h.member_id = o.member_id AND h.hold_id = o.hold_id
INNER JOIN lot AS l ON l.member_id = h.member_id AND l.lot_id = h.lot_id
ORDER BY h.hold_id, h.ordinal

-- name: list_lots
-- Newest first, older than $2, in the state $5 as of $4 (0 for any): 1 open, 2 pending, 3 expired, 4 used. What would have ended since
-- anti-fraud froze the account has not.
SELECT
    l.lot_id, l.member_id, l.state, l.points, l.remaining, l.expired, l.mature_time, l.expire_time, l.transaction_id,
    t.kind, t.occurred_time, t.order_id
FROM (
    SELECT lot.*, state.state
    FROM lot
    CROSS JOIN LATERAL (
        SELECT CASE
            WHEN
                lot.remaining > 0
                AND NOT (lot.pending AND lot.mature_time < lot.expire_time)
                AND lot.expire_time <= least($4, (SELECT frozen_time FROM account WHERE member_id = $1)) THEN 3
            WHEN lot.remaining > 0 AND lot.pending THEN 2
            WHEN lot.remaining > 0 THEN 1
            WHEN lot.expired > 0 THEN 3
            ELSE 4
        END AS state
    ) AS state
    WHERE lot.member_id = $1 AND lot.lot_id < $2 AND ($5::integer = 0 OR state.state = $5)
    ORDER BY lot.lot_id DESC
    LIMIT $3
) AS l
LEFT JOIN transaction AS t ON t.member_id = l.member_id AND t.transaction_id = l.transaction_id
ORDER BY l.lot_id DESC

-- name: take_snapshot
SET TRANSACTION ISOLATION LEVEL REPEATABLE READ

-- name: sum_accounts
-- Every posting leaves one account and enters another: the totals sum to 0. Of all that was recorded at or before $1.
SELECT account, sum(points)::bigint AS points
FROM (
    SELECT unnest(t.sources) AS account, -unnest(t.points) AS points
    FROM transaction AS t WHERE $1::timestamptz IS NULL OR t.record_time <= $1
    UNION ALL
    SELECT unnest(t.targets), unnest(t.points)
    FROM transaction AS t WHERE $1::timestamptz IS NULL OR t.record_time <= $1
) AS entry
GROUP BY account
ORDER BY account

-- name: count_ledger
-- A member counts from their first transaction on; without an instant, from the opening of the account.
SELECT
    (SELECT count(*) FROM transaction AS t WHERE $1::timestamptz IS NULL OR t.record_time <= $1) AS transaction_count,
    CASE
        WHEN $1::timestamptz IS NULL THEN (SELECT count(*) FROM account)
        ELSE (SELECT count(DISTINCT t.member_id) FROM transaction AS t WHERE t.record_time <= $1)
    END AS member_count
