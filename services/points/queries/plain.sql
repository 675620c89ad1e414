-- Plain accruals: to open accounts without debt, a lot and a posting from issued (11) each. What many of them share comes once,
-- in arrays that `terms` points into.

-- name: book_accruals
-- All that a batch of them writes, in one statement and so in one round trip and one commit: all of it, or nothing. Accounts are
-- locked in the order of their members and request ids are claimed in their own: two batches must not deadlock.
WITH balance AS (
    -- ON CONFLICT keeps to the order of what it is given, as no join would promise.
    INSERT INTO account AS a (member_id, active, pending)
    SELECT member_id, coalesce(active, 0), coalesce(pending, 0)
    FROM unnest(split_texts($1::text), $2::bigint[], $3::bigint[]) AS total (member_id, active, pending)
    ORDER BY member_id
    ON CONFLICT (member_id) DO UPDATE
    SET
        active = CASE WHEN a.debt = 0 AND a.state = 0 THEN a.active + excluded.active ELSE not_plain(a.member_id) END,
        pending = a.pending + excluded.pending
    RETURNING a.member_id, a.active, a.pending, a.held
),
accrual AS MATERIALIZED (
    -- Back from the balance that all of them leave to the one that each leaves.
    SELECT
        ordinal, member_id, transaction_id, request_id, order_id, points, explanation, held,
        coalesce(terms, ($13::smallint[])[1]) AS terms,
        substring($7::bytea FROM ordinal::integer * 16 - 15 FOR 16) AS content_hash,
        active - coalesce(active_later, 0) AS active_after,
        pending - coalesce(pending_later, 0) AS pending_after
    FROM unnest(
        split_texts($4::text), $5::uuid[], split_texts($6::text), split_texts($8::text), $9::bigint[], split_texts($10::text),
        $11::bigint[], $12::bigint[], $13::smallint[]
    ) WITH ORDINALITY AS a (
        member_id, transaction_id, request_id, order_id, points, explanation, active_later, pending_later, terms, ordinal
    )
    INNER JOIN balance USING (member_id)
),
recorded AS (
    INSERT INTO transaction (
        member_id, transaction_id, kind, sources, targets, points, lot_ids, lot_points, active_after, pending_after,
        held_after, debt_after, program_version, request_id, order_id, occurred_time, record_time, explanation
    )
    SELECT
        member_id, transaction_id, 1, ARRAY[11], ARRAY[($14::smallint[])[terms]], ARRAY[points], ARRAY[transaction_id],
        ARRAY[points], active_after, pending_after, held, 0, ($15::integer[])[terms], request_id, order_id,
        ($16::timestamptz[])[terms], $21::timestamptz, explanation::jsonb
    FROM accrual
),
opened AS (
    -- A lot has the id of the accrual that it stems from.
    INSERT INTO lot (
        member_id, lot_id, transaction_id, pending, points, remaining, expired, mature_time, expire_time, due_time
    )
    SELECT
        member_id, transaction_id, transaction_id, ($17::boolean[])[terms], points, points, 0,
        ($18::timestamptz[])[terms], ($19::timestamptz[])[terms], ($20::timestamptz[])[terms]
    FROM accrual
),
remembered AS (
    INSERT INTO request (request_id, method, content_hash, response)
    SELECT request_id, 'Accrue', content_hash, uuid_send(transaction_id) || convert_to(member_id, 'UTF8')
    FROM accrual
    ORDER BY request_id
),
told AS (
    INSERT INTO outbox (batch_id, type, payload)
    SELECT batch_id, 'points_accrued', payload FROM unnest($22::uuid[], $23::bytea[]) AS o (batch_id, payload)
)
SELECT
    array_agg(active_after ORDER BY ordinal) AS active, array_agg(pending_after ORDER BY ordinal) AS pending,
    array_agg(held ORDER BY ordinal) AS held
FROM accrual
