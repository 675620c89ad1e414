-- name: find_imported
-- Rows that were booked before. The response of a request is the id of its transaction and the member; convert_from has the collation
-- of its encoding's name, by which no index of members could be used.
SELECT r.request_id, r.method, r.content_hash, t.transaction_id, t.active_after
FROM request AS r
LEFT JOIN transaction AS t
    ON
        r.method = 'Import'
        AND t.member_id = convert_from(substring(r.response FROM 17), 'UTF8') COLLATE "default"
        AND t.transaction_id = encode(substring(r.response FROM 1 FOR 16), 'hex')::uuid
WHERE r.request_id = ANY($1::text[])
