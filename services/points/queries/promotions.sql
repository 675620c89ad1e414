-- Promotion windows: what members use of their days.

-- name: load_promotion_uses
-- In the order of the key: a pool's hold is counted for a member whose account its capture does not lock, and two batches must not deadlock.
SELECT u.member_id, u.window_name, u.day, u.points, u.points_max
FROM unnest($1::text[], $2::text[], $3::date[]) AS asked (member_id, window_name, day)
INNER JOIN promotion_use AS u USING (member_id, window_name, day)
ORDER BY u.member_id, u.window_name, u.day
FOR UPDATE OF u

-- name: upsert_promotion_uses
INSERT INTO promotion_use (member_id, window_name, day, points, points_max)
SELECT *
FROM unnest($1::text[], $2::text[], $3::date[], $4::bigint[], $5::bigint[])
ON CONFLICT (member_id, window_name, day) DO UPDATE
SET points = excluded.points, points_max = excluded.points_max

-- name: get_promotion_use
SELECT points FROM promotion_use
WHERE member_id = $1 AND window_name = $2 AND day = $3
