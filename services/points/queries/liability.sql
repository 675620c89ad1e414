-- The liability report: read in steps of members, all within one snapshot. Each step walks the members' part of the primary keys, so that
-- neither a statement nor what it sorts grows with the ledger.

-- name: next_members
-- The last of the next $2 members after $1; NULL when there is none.
SELECT max(member_id) FROM (SELECT member_id FROM account WHERE member_id > $1 ORDER BY member_id LIMIT $2) AS step

-- name: sum_postings
-- What was recorded up to $4, by month of the zone $5 from $3 on (NULL for before), from account to account.
SELECT
    CASE WHEN t.record_time >= $3 THEN date_trunc('month', t.record_time AT TIME ZONE $5)::date END AS month,
    p.source, p.target, sum(p.points)::bigint AS points
FROM transaction AS t
CROSS JOIN LATERAL unnest(t.sources, t.targets, t.points) AS p (source, target, points)
WHERE t.member_id > $1 AND t.member_id <= $2 AND t.record_time <= $4
GROUP BY 1, 2, 3

-- name: sum_lots
-- What was recorded up to $3 of movements of lots: by the month of the zone $4 in which the points were earned, by the month of the
-- movement, by the days from $3 to their end (the range of $5 that these fall into, NULL for never), and by what it was: kinds of $6 are
-- use, kinds of $7 expiry, and so is what left by kinds of $8; of the rest what came is issued (1) and what left is withdrawn (4).
-- Ends are those of that instant: what was moved when anti-fraud lifted a freeze later is undone, and the days of an account that was
-- frozen are told as if it had been lifted then.
-- A lot that came from another member, or that a refund opened in place of such a one, is followed back to whose accrual it stems from;
-- where that leads nowhere, it was earned when the accrual's id was made.
WITH moved_later AS (
    SELECT e.member_id, e.lot_id, min(e.from_time) AS end_time
    FROM lot_extension AS e
    INNER JOIN antifraud_action AS a ON a.member_id = e.member_id AND a.action_id = e.action_id
    WHERE e.member_id > $1 AND e.member_id <= $2 AND a.lift_time > $3
    GROUP BY e.member_id, e.lot_id
),
frozen AS (
    SELECT member_id, min(take_time) AS since
    FROM antifraud_action
    WHERE
        member_id > $1 AND member_id <= $2 AND kind = 1 AND take_time <= $3
        AND (lift_time IS NULL OR lift_time > $3)
    GROUP BY member_id
)
SELECT
    date_trunc('month', earned.earn_time AT TIME ZONE $4)::date AS earn_month,
    date_trunc('month', t.occurred_time AT TIME ZONE $4)::date AS month,
    width_bucket(
        extract(
            epoch FROM coalesce(moved_later.end_time, l.expire_time)
            - CASE WHEN frozen.since IS NULL THEN $3 ELSE least($3, greatest(frozen.since, o.record_time)) END
        ) / 86400,
        $5::numeric[]
    ) AS days_range,
    CASE
        WHEN t.kind = ANY($7::smallint[]) OR (t.kind = ANY($8::smallint[]) AND m.points < 0) THEN 3
        WHEN t.kind = ANY($6::smallint[]) THEN 2
        WHEN m.points > 0 THEN 1
        ELSE 4
    END AS flow,
    sum(m.points)::bigint AS points
FROM transaction AS t
CROSS JOIN LATERAL unnest(t.lot_ids, t.lot_points) AS m (lot_id, points)
INNER JOIN lot AS l ON l.member_id = t.member_id AND l.lot_id = m.lot_id
LEFT JOIN transaction AS o ON o.member_id = l.member_id AND o.transaction_id = l.transaction_id
LEFT JOIN moved_later ON moved_later.member_id = l.member_id AND moved_later.lot_id = l.lot_id
LEFT JOIN frozen ON frozen.member_id = l.member_id
CROSS JOIN LATERAL (
    SELECT coalesce(
        o.occurred_time,
        (
            WITH RECURSIVE chain AS (
                SELECT l.member_id, l.lot_id, 0 AS depth
                UNION ALL
                SELECT g.member_id, g.lot_id, c.depth + 1
                FROM chain AS c
                CROSS JOIN LATERAL (
                    SELECT source_member_id AS member_id, source_lot_id AS lot_id
                    FROM lot_origin WHERE member_id = c.member_id AND lot_id = c.lot_id
                    UNION ALL
                    SELECT member_id, replaced_lot_id
                    FROM lot_replacement WHERE member_id = c.member_id AND lot_id = c.lot_id
                    -- Where there are both they lead to the same accrual.
                    LIMIT 1
                ) AS g
                WHERE c.depth < 100
            )
            SELECT s.occurred_time
            FROM chain AS c
            INNER JOIN transaction AS s ON s.member_id = c.member_id AND s.transaction_id = l.transaction_id
            ORDER BY c.depth
            LIMIT 1
        ),
        to_timestamp(('x' || translate(left(l.transaction_id::text, 13), '-', ''))::bit(48)::bigint / 1000.0)
    ) AS earn_time
) AS earned
WHERE t.member_id > $1 AND t.member_id <= $2 AND t.record_time <= $3
GROUP BY 1, 2, 3, 4
