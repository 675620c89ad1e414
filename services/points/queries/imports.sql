-- name: find_imported
-- Rows that were booked before, and other requests under their ids. The response to a row is the id of its transaction and the member;
-- other calls keep other answers, which are neither. convert_from has the collation of its encoding's name, by which no index of
-- members could be used.
SELECT r.request_id, r.method, r.content_hash, t.transaction_id, t.active_after
FROM request AS r
LEFT JOIN transaction AS t
    ON
        t.member_id = CASE WHEN r.method = 'Import' THEN convert_from(substring(r.response FROM 17), 'UTF8') END COLLATE "default"
        AND t.transaction_id = CASE WHEN r.method = 'Import' THEN encode(substring(r.response FROM 1 FOR 16), 'hex')::uuid END
WHERE r.request_id = ANY($1::text[])
