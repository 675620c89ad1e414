-- Filling counters from stored assessments, a step at a time.

-- name: list_fills
SELECT version, series, until_time
FROM velocity_fill
ORDER BY version

-- name: add_fill
-- Whoever sees the version first plans it; the other finds it planned.
INSERT INTO velocity_fill (version, series, until_time, cursor_time, slice_us, safe_time, fence_time, fence_xid)
VALUES (
    $1, $2, $3, $4, $5, $4, $6, pg_snapshot_xmax(pg_current_snapshot())::text::bigint
)
ON CONFLICT (version) DO NOTHING

-- name: count_fills
SELECT count(*) AS fills, min(cursor_time) AS filled_time
FROM velocity_fill
WHERE cursor_time < until_time

-- name: take_fill
-- The next one that is not done, and not in the hands of another process.
SELECT
    version, series, until_time, cursor_time, slice_us, safe_time, fence_time,
    pg_snapshot_xmin(pg_current_snapshot())::text::bigint >= fence_xid AS is_fence_passed
FROM velocity_fill
WHERE cursor_time < until_time AND version > $1
ORDER BY version
LIMIT 1
FOR UPDATE SKIP LOCKED

-- name: move_fence
UPDATE velocity_fill
SET safe_time = $2, fence_time = $3, fence_xid = pg_snapshot_xmax(pg_current_snapshot())::text::bigint
WHERE version = $1

-- name: read_by_time
-- For this transaction: the planner, who plans without values, takes any slice for a share of the whole table, and would read all of it.
SELECT set_config('enable_seqscan', 'off', true)

-- name: find_assessments_between
SELECT
    member_id, request_id, kind, program_version, points, amount_minor, tier_id, type, order_id, occurred_time, create_time, context
FROM assessment
WHERE create_time >= $1 AND create_time < $2 AND kind = ANY($3::smallint[])
LIMIT $4

-- name: move_fill
UPDATE velocity_fill
SET cursor_time = $2, slice_us = $3
WHERE version = $1
