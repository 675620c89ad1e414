-- What every service's schema has: requests that took effect, the outbox, the inbox.

-- name: claim_request
INSERT INTO request (request_id, method, content_hash)
VALUES ($1, $2, $3)
ON CONFLICT (request_id) DO NOTHING
RETURNING true

-- name: get_request
SELECT method, content_hash, response
FROM request
WHERE request_id = $1

-- name: finish_request
UPDATE request SET response = $2 WHERE request_id = $1

-- name: add_to_outbox
INSERT INTO outbox (batch_id, type, payload)
SELECT * FROM unnest($1::uuid[], $2::text[], $3::bytea[])

-- name: take_from_outbox
DELETE FROM outbox
WHERE batch_id IN (
    SELECT batch_id FROM outbox ORDER BY batch_id LIMIT $1 FOR UPDATE SKIP LOCKED
)
RETURNING batch_id, type, payload

-- name: claim_from_inbox
INSERT INTO inbox (batch_id) VALUES ($1)
ON CONFLICT (batch_id) DO NOTHING
RETURNING true

-- name: prune_inbox
-- By the database's own time, which handle_time bears: the service's clock may stand in the past.
DELETE FROM inbox
WHERE batch_id IN (SELECT batch_id FROM inbox WHERE handle_time < now() - $1::interval LIMIT $2)
