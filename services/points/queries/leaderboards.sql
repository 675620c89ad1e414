-- name: open_boards
-- Makes the leaderboards that are not there yet.
INSERT INTO board (period, start_date, region)
SELECT DISTINCT asked.period, asked.start_date, asked.region
FROM unnest($1::smallint[], $2::date[], $3::text[]) AS asked (period, start_date, region)
WHERE NOT EXISTS (
    SELECT 1 FROM board AS b
    WHERE b.period = asked.period AND b.start_date = asked.start_date AND b.region = asked.region
)
ORDER BY 1, 2, 3
ON CONFLICT (period, start_date, region) DO NOTHING

-- name: add_scores
-- In the order of the key: two processes must not deadlock over them.
INSERT INTO score AS s (member_id, board_id, points)
SELECT asked.member_id, b.board_id, asked.points
FROM unnest($1::smallint[], $2::date[], $3::text[], $4::text[], $5::bigint[])
    AS asked (period, start_date, region, member_id, points)
INNER JOIN board AS b USING (period, start_date, region)
ORDER BY asked.member_id, b.board_id
ON CONFLICT (member_id, board_id) DO UPDATE SET points = s.points + excluded.points

-- name: find_board
SELECT board_id FROM board WHERE period = $1 AND start_date = $2 AND region = $3

-- name: list_scores
-- The members after the one with $2 points and the id $3: most points first, ties by id.
SELECT s.member_id, s.points
FROM score AS s
WHERE s.board_id = $1 AND s.points > 0 AND s.points <= $2 AND (s.points < $2 OR s.member_id > $3)
ORDER BY s.points DESC, s.member_id
LIMIT $4

-- name: count_higher
-- How many have more points than $2.
SELECT count(*) FROM score AS s WHERE s.board_id = $1 AND s.points > $2

-- name: count_before
-- How many stand before the one with $2 points and the id $3 in the list.
SELECT count(*) FROM score AS s
WHERE s.board_id = $1 AND s.points >= $2 AND (s.points > $2 OR s.member_id < $3)

-- name: get_rank
-- Where a member stands: how many have more; the next points above, and how many have more than those; the points of whoever stands at
-- position $3 of the list. Nobody stands on a leaderboard with less than one point.
SELECT
    own.points,
    (SELECT count(*) FROM score AS s WHERE s.board_id = $1 AND s.points > own.points) AS higher_count,
    above.points AS above_points,
    (SELECT count(*) FROM score AS s WHERE s.board_id = $1 AND s.points > above.points) AS above_higher_count,
    (
        SELECT s.points FROM score AS s WHERE s.board_id = $1 AND s.points > 0
        ORDER BY s.points DESC, s.member_id OFFSET $3 - 1 LIMIT 1
    ) AS target_points
FROM (
    SELECT coalesce((SELECT s.points FROM score AS s WHERE s.member_id = $2 AND s.board_id = $1), 0) AS points
) AS own
LEFT JOIN LATERAL (
    SELECT s.points FROM score AS s WHERE s.board_id = $1 AND s.points > greatest(0, own.points)
    ORDER BY s.points LIMIT 1
) AS above ON true

-- name: find_old_boards
SELECT board_id FROM board
WHERE (period = 1 AND start_date < $1) OR (period = 2 AND start_date < $2) OR (period = 3 AND start_date < $3)
ORDER BY board_id
LIMIT 100

-- name: prune_scores
DELETE FROM score AS s
USING (SELECT o.member_id FROM score AS o WHERE o.board_id = $1 LIMIT $2) AS old
WHERE s.board_id = $1 AND s.member_id = old.member_id

-- name: drop_board
DELETE FROM board AS b
WHERE b.board_id = $1 AND NOT EXISTS (SELECT 1 FROM score AS s WHERE s.board_id = b.board_id)
