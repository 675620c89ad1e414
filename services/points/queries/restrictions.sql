-- What anti-fraud forbids accounts. Accounts are locked before.

-- name: load_antifraud_actions
-- What stands on members, and what is known of some actions.
SELECT member_id, action_id, kind, take_time, lift_time
FROM antifraud_action
WHERE member_id = ANY($1::text[]) AND (lift_time IS NULL OR action_id = ANY($2::uuid[]))

-- name: note_antifraud_actions
INSERT INTO antifraud_action AS known (member_id, action_id, kind, take_time, lift_time)
SELECT member_id, action_id, kind, take_time, lift_time
FROM unnest($1::text[], $2::uuid[], $3::smallint[], $4::timestamptz[], $5::timestamptz[])
    AS heard (member_id, action_id, kind, take_time, lift_time)
ON CONFLICT (member_id, action_id) DO UPDATE
SET take_time = excluded.take_time, lift_time = excluded.lift_time

-- name: set_restriction
UPDATE account SET restriction = $2, frozen_time = $3
WHERE member_id = $1

-- name: extend_lots
-- Gives a member's lots the time back for which the account was frozen, from $2 to $3: all those that had not ended before it, and
-- those earned meanwhile for as long as they lay frozen. $4 is the action, $5 how long before its end a lot is first warned of.
WITH frozen AS MATERIALIZED (
    SELECT l.lot_id, l.expire_time, l.expire_time + ($3::timestamptz - greatest($2::timestamptz, t.record_time)) AS to_time
    FROM lot AS l
    LEFT JOIN transaction AS t ON t.member_id = l.member_id AND t.transaction_id = l.transaction_id
    WHERE
        l.member_id = $1 AND l.expire_time > $2::timestamptz AND (l.expired = 0 OR l.remaining > 0)
        AND (t.record_time IS NULL OR t.record_time < $3::timestamptz)
),
noted AS (
    INSERT INTO lot_extension (member_id, lot_id, action_id, from_time, to_time)
    SELECT $1, lot_id, $4::uuid, expire_time, to_time FROM frozen
),
moved AS (
    UPDATE lot AS l
    SET
        expire_time = f.to_time,
        due_time = CASE
            WHEN l.pending AND l.mature_time IS NOT NULL THEN least(l.mature_time, f.to_time)
            ELSE f.to_time - $5::interval
        END
    FROM frozen AS f
    WHERE l.member_id = $1 AND l.lot_id = f.lot_id
    RETURNING 1
)
SELECT count(*) FROM moved

-- name: load_extensions
-- By how much the ends of lots were moved.
SELECT e.lot_id, sum(e.to_time - e.from_time) AS moved
FROM unnest($1::text[], $2::uuid[]) AS asked (member_id, lot_id)
INNER JOIN lot_extension AS e USING (member_id, lot_id)
GROUP BY e.lot_id

-- name: take_extensions_home
-- Lots of $1 whose points go back to the lots of $3 that they came out of: where their end was moved, it is moved there, too. Lots of
-- others that they came out of are not touched: their accounts are not locked.
WITH later AS MATERIALIZED (
    SELECT DISTINCT ON (s.member_id, s.lot_id)
        s.member_id, s.lot_id, e.action_id, s.expire_time AS from_time, l.expire_time AS to_time
    FROM unnest($2::uuid[]) AS asked (lot_id)
    INNER JOIN lot AS l ON l.member_id = $1 AND l.lot_id = asked.lot_id
    INNER JOIN lot_origin AS o ON o.member_id = l.member_id AND o.lot_id = l.lot_id
    INNER JOIN lot AS s ON s.member_id = o.source_member_id AND s.lot_id = o.source_lot_id
    INNER JOIN lot_extension AS e ON e.member_id = l.member_id AND e.lot_id = l.lot_id AND e.to_time = l.expire_time
    WHERE o.source_member_id = $3 AND l.expire_time > s.expire_time
    ORDER BY s.member_id, s.lot_id, l.expire_time DESC
),
noted AS (
    INSERT INTO lot_extension (member_id, lot_id, action_id, from_time, to_time)
    SELECT member_id, lot_id, action_id, from_time, to_time FROM later
)
UPDATE lot AS l SET expire_time = c.to_time
FROM later AS c
WHERE l.member_id = c.member_id AND l.lot_id = c.lot_id
