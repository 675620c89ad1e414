-- name: claim_till_batch
INSERT INTO till_batch (device_id, batch_number, content_hash, submit_time)
VALUES ($1, $2, $3, $4)
ON CONFLICT (device_id, batch_number) DO NOTHING

-- name: get_till_batch
SELECT content_hash, response
FROM till_batch
WHERE device_id = $1 AND batch_number = $2

-- name: lock_till_batch
SELECT response
FROM till_batch
WHERE device_id = $1 AND batch_number = $2
FOR UPDATE

-- name: finish_till_batch
UPDATE till_batch
SET response = $3, submit_time = $4
WHERE device_id = $1 AND batch_number = $2

-- name: find_till_gaps
-- Of the latest $3 batches that were answered, and of batch $2, which is about to be. Below all of them nothing is missing if these
-- are not all.
WITH latest AS (
    SELECT batch_number
    FROM till_batch
    WHERE device_id = $1 AND (response IS NOT NULL OR batch_number = $2)
    ORDER BY batch_number DESC
    LIMIT $3
)
SELECT before + 1 AS first, batch_number - 1 AS last
FROM (
    SELECT
        batch_number,
        coalesce(
            lag(batch_number) OVER (ORDER BY batch_number),
            CASE WHEN (SELECT count(*) FROM latest) < $3 THEN 0 END
        ) AS before
    FROM latest
) AS pair
WHERE before + 1 < batch_number
ORDER BY batch_number
LIMIT $4

-- name: get_till
SELECT batch_number, (SELECT max(submit_time) FROM till_batch WHERE device_id = $1 AND response IS NOT NULL) AS submit_time
FROM till_batch
WHERE device_id = $1 AND response IS NOT NULL
ORDER BY batch_number DESC
LIMIT 1
