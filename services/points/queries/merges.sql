-- Accounts that are merged, and taken apart again.

-- name: find_living_holds
-- Holds with points still held, or with captured points that can still be refunded.
SELECT hold_id
FROM hold
WHERE member_id = $1 AND (captured + released < points OR refunded < captured)
ORDER BY hold_id
LIMIT $2

-- name: load_lots_of_holds
SELECT DISTINCT
    l.member_id, l.lot_id, l.transaction_id, l.pending, l.points, l.remaining, l.expired,
    l.mature_time, l.expire_time, l.due_time
FROM hold_lot AS h
INNER JOIN lot AS l ON l.member_id = h.member_id AND l.lot_id = h.lot_id
WHERE h.member_id = $1 AND h.hold_id = ANY($2::uuid[])

-- name: move_holds
UPDATE hold SET member_id = $2
WHERE member_id = $1 AND hold_id = ANY($3::uuid[])

-- name: move_hold_lots
UPDATE hold_lot AS h SET member_id = $2, lot_id = m.new_lot_id
FROM unnest($4::uuid[], $5::uuid[]) AS m (old_lot_id, new_lot_id)
WHERE h.member_id = $1 AND h.hold_id = ANY($3::uuid[]) AND h.lot_id = m.old_lot_id

-- name: sum_held
SELECT coalesce(sum(points - captured - released), 0)::bigint
FROM hold
WHERE member_id = $1 AND hold_id = ANY($2::uuid[])

-- name: add_merge
INSERT INTO merge (
    member_id, merge_id, merged_member_id, transaction_id, merged_transaction_id, active, pending, held, debt,
    hold_count, operator, identity, reason, create_time
)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)

-- name: add_merge_holds
INSERT INTO merge_hold (member_id, merge_id, hold_id)
SELECT $1, $2, hold_id FROM unnest($3::uuid[]) AS h (hold_id)

-- name: undo_merge
UPDATE merge
SET
    undo_active = $3, undo_pending = $4, undo_held = $5, undo_debt = $6, undo_transaction_id = $7,
    undo_merged_transaction_id = $8, undo_operator = $9, undo_identity = $10, undo_reason = $11, undo_time = $12
WHERE member_id = $1 AND merge_id = $2

-- name: get_merge
SELECT
    member_id, merge_id, merged_member_id, transaction_id, merged_transaction_id, active, pending, held, debt,
    hold_count, operator, identity, reason, create_time, undo_active, undo_pending, undo_held, undo_debt,
    undo_transaction_id, undo_merged_transaction_id, undo_operator, undo_identity, undo_reason, undo_time
FROM merge
WHERE merge_id = $1

-- name: list_merges
SELECT
    member_id, merge_id, merged_member_id, transaction_id, merged_transaction_id, active, pending, held, debt,
    hold_count, operator, identity, reason, create_time, undo_active, undo_pending, undo_held, undo_debt,
    undo_transaction_id, undo_merged_transaction_id, undo_operator, undo_identity, undo_reason, undo_time
FROM merge
WHERE (member_id = $1 OR merged_member_id = $1) AND ($2::uuid IS NULL OR merge_id < $2)
ORDER BY merge_id DESC
LIMIT $3

-- name: list_merge_holds
-- Those that a merge moved and that the survivor still has.
SELECT m.hold_id
FROM merge_hold AS m
INNER JOIN hold AS h ON h.member_id = m.member_id AND h.hold_id = m.hold_id
WHERE m.member_id = $1 AND m.merge_id = $2
ORDER BY m.hold_id

-- name: load_lots_by_origin
-- The lots that a transaction opened, each with the lot it came out of.
SELECT
    l.member_id, l.lot_id, l.transaction_id, l.pending, l.points, l.remaining, l.expired,
    l.mature_time, l.expire_time, l.due_time, o.source_member_id, o.source_lot_id
FROM lot_origin AS o
INNER JOIN lot AS l USING (member_id, lot_id)
WHERE o.member_id = $1 AND o.transaction_id = $2
ORDER BY l.lot_id

-- name: load_replacements
-- Lots of $1 that refunds have opened in place of those that came from $2, by the transaction $3 or by any, or in place of such lots
-- again; each with the lot of $2 that it stems from.
WITH RECURSIVE chain AS (
    SELECT r.lot_id, o.source_lot_id
    FROM lot_origin AS o
    INNER JOIN lot_replacement AS r ON r.member_id = o.member_id AND r.replaced_lot_id = o.lot_id
    WHERE o.member_id = $1 AND o.source_member_id = $2 AND ($3::uuid IS NULL OR o.transaction_id = $3)
    UNION ALL
    SELECT r.lot_id, c.source_lot_id
    FROM chain AS c
    INNER JOIN lot_replacement AS r ON r.member_id = $1 AND r.replaced_lot_id = c.lot_id
)
SELECT
    l.member_id, l.lot_id, l.transaction_id, l.pending, l.points, l.remaining, l.expired,
    l.mature_time, l.expire_time, l.due_time, c.source_lot_id
FROM chain AS c
INNER JOIN lot AS l ON l.member_id = $1 AND l.lot_id = c.lot_id
WHERE l.remaining > 0 OR l.expired > 0
ORDER BY l.lot_id

-- name: load_restored_lots
-- Lots of $1 that refunds have opened before it was written down in place of which, for accruals of which lots have come from $2 since
-- the id $3.
SELECT
    l.member_id, l.lot_id, l.transaction_id, l.pending, l.points, l.remaining, l.expired,
    l.mature_time, l.expire_time, l.due_time
FROM lot AS l
WHERE
    l.member_id = $1 AND l.lot_id > $3 AND l.remaining > 0
    AND NOT EXISTS (SELECT 1 FROM lot_origin AS o WHERE o.member_id = l.member_id AND o.lot_id = l.lot_id)
    AND NOT EXISTS (SELECT 1 FROM lot_replacement AS r WHERE r.member_id = l.member_id AND r.lot_id = l.lot_id)
    AND EXISTS (
        SELECT 1
        FROM lot_origin AS o
        INNER JOIN lot AS c USING (member_id, lot_id)
        WHERE
            o.member_id = l.member_id AND o.lot_id > $3 AND o.source_member_id = $2
            AND c.transaction_id = l.transaction_id
    )
ORDER BY l.lot_id
