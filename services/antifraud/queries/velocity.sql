-- Sliding windows: one row per key, which is their lock as well.

-- name: add_velocity
-- Locks the keys in order, appends what is assessed now, and returns all that was appended lately. Whoever shares a
-- key waits here until the other has committed, so the counts are exact.
INSERT INTO velocity AS known (key, dimension, kind, entries, write_time)
SELECT key, dimension, kind, entries, $5::timestamptz
FROM unnest($1::text[], $2::smallint[], $3::smallint[], $4::bytea[]) AS added (key, dimension, kind, entries)
ORDER BY key COLLATE "C", dimension, kind
ON CONFLICT (key, dimension, kind) DO UPDATE
SET entries = known.entries || excluded.entries, write_time = excluded.write_time
RETURNING key, dimension, kind, entries

-- name: rewrite_velocity
-- The rows are locked by add_velocity already.
UPDATE velocity
SET entries = tidied.entries
FROM unnest($1::text[], $2::smallint[], $3::smallint[], $4::bytea[]) AS tidied (key, dimension, kind, entries)
WHERE
    velocity.key = tidied.key
    AND velocity.dimension = tidied.dimension
    AND velocity.kind = tidied.kind

-- name: prune_velocity
-- One step through the keys, behind ($1, $2, $3): deletes the idle ones, and returns where the next step begins.
WITH page AS (
    SELECT key, dimension, kind, write_time
    FROM velocity
    WHERE (key, dimension, kind) > ($1::text, $2::smallint, $3::smallint)
    ORDER BY key, dimension, kind
    LIMIT $5
),
idle AS (
    SELECT velocity.key, velocity.dimension, velocity.kind
    FROM velocity
    INNER JOIN page USING (key, dimension, kind)
    WHERE velocity.write_time < $4::timestamptz
    FOR UPDATE OF velocity SKIP LOCKED
),
gone AS (
    DELETE FROM velocity
    USING idle
    WHERE velocity.key = idle.key AND velocity.dimension = idle.dimension AND velocity.kind = idle.kind
)
SELECT key, dimension, kind
FROM page
ORDER BY key DESC, dimension DESC, kind DESC
LIMIT 1
