-- Lists: put, removed, listed, looked up for a batch, pruned.

-- name: put_list_entries
-- The entries come in the order of the key, so that two calls cannot deadlock. How many of them are new.
WITH put AS (
    INSERT INTO list_entry AS known (key_kind, value, list, action_id, expire_time, reason, operator, identity, create_time)
    SELECT key_kind, value, list, $4::uuid, expire_time, reason, $7::text, $8::text, $9::timestamptz
    FROM unnest($1::smallint[], $2::text[], $3::smallint[], $5::timestamptz[], $6::text[])
        AS e (key_kind, value, list, expire_time, reason)
    ORDER BY key_kind, value COLLATE "C", list
    ON CONFLICT (key_kind, value, list, action_id) DO UPDATE
    SET
        expire_time = excluded.expire_time, reason = excluded.reason, operator = excluded.operator,
        identity = excluded.identity, create_time = excluded.create_time
    RETURNING (known.xmax = 0) AS is_new
)
SELECT count(*) FILTER (WHERE is_new) AS added_count FROM put

-- name: find_entry_of_action
-- An entry that an action put on a list, where operators put none there.
SELECT e.action_id, e.value
FROM unnest($1::smallint[], $2::text[], $3::smallint[]) AS asked (key_kind, value, list)
INNER JOIN list_entry AS e USING (key_kind, value, list)
GROUP BY e.key_kind, e.value, e.list, e.action_id
HAVING
    e.action_id <> $4::uuid
    AND NOT EXISTS (
        SELECT FROM list_entry AS o
        WHERE o.key_kind = e.key_kind AND o.value = e.value AND o.list = e.list AND o.action_id = $4::uuid
    )
ORDER BY e.action_id
LIMIT 1

-- name: remove_list_entries
WITH locked AS MATERIALIZED (
    SELECT e.key_kind, e.value, e.list, e.action_id
    FROM unnest($1::smallint[], $2::text[], $3::smallint[]) AS asked (key_kind, value, list)
    INNER JOIN list_entry AS e USING (key_kind, value, list)
    WHERE e.action_id = $4::uuid
    ORDER BY e.key_kind, e.value, e.list
    FOR UPDATE OF e
),
gone AS (
    DELETE FROM list_entry AS e
    USING locked
    WHERE
        e.key_kind = locked.key_kind AND e.value = locked.value AND e.list = locked.list
        AND e.action_id = locked.action_id
    RETURNING 1
)
SELECT count(*) AS removed_count FROM gone

-- name: list_list_entries
SELECT key_kind, value, list, action_id, expire_time, reason, operator, identity, create_time
FROM list_entry
WHERE
    ($1::smallint = 0 OR list = $1::smallint)
    AND ($2::smallint = 0 OR key_kind = $2::smallint)
    AND ($3::text = '' OR value = $3::text)
    AND (expire_time IS NULL OR expire_time > $4::timestamptz)
    AND (key_kind, value, list, action_id) > ($5::smallint, $6::text, $7::smallint, $8::uuid)
ORDER BY key_kind, value, list, action_id
LIMIT $9

-- name: look_up_lists
-- What a batch has to know: the lists that its keys are on now, and with $4 the caps of its members, as list 0. OFFSET 0 keeps it a
-- probe of the key per row, whatever the planner believes about the size of the tables.
SELECT asked.key_kind, asked.value, found.list, NULL::bigint AS points
FROM unnest($1::smallint[], $2::text[]) AS asked (key_kind, value)
CROSS JOIN LATERAL (
    SELECT list
    FROM list_entry
    WHERE key_kind = asked.key_kind AND value = asked.value AND (expire_time IS NULL OR expire_time > $3::timestamptz)
    OFFSET 0
) AS found
UNION ALL
SELECT 1::smallint, capped.value, 0::smallint, found.points
FROM unnest($4::text[]) AS capped (value)
CROSS JOIN LATERAL (
    SELECT points
    FROM action_in_force
    WHERE key_kind = 1 AND value = capped.value AND kind = 5 AND (end_time IS NULL OR end_time > $3::timestamptz)
    OFFSET 0
) AS found

-- name: prune_lists
WITH expired AS (
    SELECT key_kind, value, list, action_id
    FROM list_entry
    WHERE expire_time <= $1::timestamptz
    ORDER BY expire_time
    LIMIT $2
    FOR UPDATE SKIP LOCKED
),
gone AS (
    DELETE FROM list_entry AS e
    USING expired AS x
    WHERE e.key_kind = x.key_kind AND e.value = x.value AND e.list = x.list AND e.action_id = x.action_id
    RETURNING 1
)
SELECT count(*) FROM gone
