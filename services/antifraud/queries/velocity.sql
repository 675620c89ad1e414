-- Sliding windows: one row per key, which is their lock as well. A code is dimension and kind in one: 10 * dimension + kind.

-- name: add_velocity
-- Locks the keys in order, appends what is assessed now, and returns all that was appended lately. Whoever shares a
-- key waits here until the other has committed, so the counts are exact.
INSERT INTO velocity AS known (key, dimension, kind, entries, write_time)
SELECT
    key, code / 10, code % 10, substring($3::bytea FROM coalesce(start, (ordinal - 1) * size + 1)::integer FOR size), $6::timestamptz
FROM (
    SELECT key, coalesce(code, ($2::integer[])[1]) AS code, coalesce(size, ($4::integer[])[1]) AS size, start, ordinal
    FROM unnest(split_texts($1::text), $2::integer[], $4::integer[], $5::integer[])
        WITH ORDINALITY AS a (key, code, size, start, ordinal)
) AS added
ORDER BY key COLLATE "C", code
ON CONFLICT (key, dimension, kind) DO UPDATE
SET entries = known.entries || excluded.entries, write_time = excluded.write_time
RETURNING key, dimension * 10 + kind AS code, entries

-- name: rewrite_velocity
-- The rows are locked by add_velocity already.
UPDATE velocity
SET entries = tidied.entries
FROM unnest(split_texts($1::text), $2::integer[], $3::bytea[]) AS tidied (key, code, entries)
WHERE
    velocity.key = tidied.key
    AND velocity.dimension = tidied.code / 10
    AND velocity.kind = tidied.code % 10

-- name: prune_velocity
-- One step through the keys, behind that of ($1, code $2): deletes the idle ones, and returns where the next step begins.
WITH page AS (
    SELECT key, dimension, kind, write_time
    FROM velocity
    WHERE (key, dimension, kind) > ($1::text, $2::integer / 10, $2::integer % 10)
    ORDER BY key, dimension, kind
    LIMIT $4
),
idle AS (
    SELECT velocity.key, velocity.dimension, velocity.kind
    FROM velocity
    INNER JOIN page USING (key, dimension, kind)
    WHERE velocity.write_time < $3::timestamptz
    FOR UPDATE OF velocity SKIP LOCKED
),
gone AS (
    DELETE FROM velocity
    USING idle
    WHERE velocity.key = idle.key AND velocity.dimension = idle.dimension AND velocity.kind = idle.kind
)
SELECT key, dimension * 10 + kind AS code
FROM page
ORDER BY key DESC, dimension DESC, kind DESC
LIMIT 1
