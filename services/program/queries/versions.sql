-- name: lock_versions
-- One application at a time: each sees the version before it.
SELECT pg_advisory_xact_lock(hashtextextended('laurel.program_version', 0))

-- name: get_newest
SELECT version, source_yaml, program, author, reason, create_time, effective_time
FROM program_version
ORDER BY version DESC
LIMIT 1

-- name: get_version
SELECT version, source_yaml, program, author, reason, create_time, effective_time
FROM program_version
WHERE version = $1

-- name: add_version
INSERT INTO program_version
(version, source_yaml, program, author, reason, create_time, effective_time)
VALUES ($1, $2, $3, $4, $5, $6, $7)

-- name: list_versions
-- At most $2 rows before version $1, and no more than fit into $3 bytes, but always the first.
WITH page AS (
    SELECT
        version,
        sum(octet_length(source_yaml) + octet_length(program))
            OVER (ORDER BY version DESC) AS byte_count,
        row_number() OVER (ORDER BY version DESC) AS position
    FROM (
        SELECT version, source_yaml, program
        FROM program_version
        WHERE $1::integer IS NULL OR version < $1
        ORDER BY version DESC
        LIMIT $2
    ) AS newest
)

SELECT
    program_version.version, source_yaml, program, author, reason, create_time, effective_time
FROM program_version
INNER JOIN page ON program_version.version = page.version
WHERE page.byte_count <= $3 OR page.position = 1
ORDER BY program_version.version DESC
