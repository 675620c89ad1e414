-- Plain accruals: to open accounts without debt, a lot and a posting from issued (11) each. What many of them share comes once,
-- in arrays that `terms` points into.

-- name: book_accruals
-- All that a batch of them writes, in one statement and so in one round trip and one commit: all of it, or nothing. Accounts are
-- locked in the order of their members and request ids are claimed in their own: two batches must not deadlock.
WITH asked AS MATERIALIZED (
    SELECT
        ordinal, member_id, transaction_id, request_id, content_hash, order_id, points, explanation, terms,
        CASE WHEN ($12::boolean[])[terms] THEN points ELSE 0 END AS to_pending
    FROM unnest(
        $1::text[], $2::uuid[], $3::text[], $4::bytea[], $5::text[], $6::bigint[], $7::text[], $8::smallint[]
    ) WITH ORDINALITY AS a (
        member_id, transaction_id, request_id, content_hash, order_id, points, explanation, terms, ordinal
    )
),
balance AS (
    -- ON CONFLICT keeps to the order of what it is given, as no join would promise.
    INSERT INTO account AS a (member_id, active, pending)
    SELECT member_id, sum(points - to_pending), sum(to_pending) FROM asked GROUP BY member_id ORDER BY member_id
    ON CONFLICT (member_id) DO UPDATE
    SET
        active = CASE WHEN a.debt = 0 AND a.state = 0 THEN a.active + excluded.active ELSE not_plain(a.member_id) END,
        pending = a.pending + excluded.pending
    RETURNING a.member_id, a.active, a.pending, a.held
),
accrual AS MATERIALIZED (
    -- Back from the balance that all of them leave to the one that each leaves.
    SELECT
        asked.*, balance.held,
        balance.active + points - to_pending - sum(points - to_pending) OVER later AS active_after,
        balance.pending + to_pending - sum(to_pending) OVER later AS pending_after
    FROM asked INNER JOIN balance USING (member_id)
    WINDOW later AS (PARTITION BY asked.member_id ORDER BY asked.ordinal DESC)
),
recorded AS (
    INSERT INTO transaction (
        member_id, transaction_id, kind, sources, targets, points, lot_ids, lot_points, active_after, pending_after,
        held_after, debt_after, program_version, request_id, order_id, occurred_time, record_time, explanation
    )
    SELECT
        member_id, transaction_id, 1, ARRAY[11], ARRAY[($9::smallint[])[terms]], ARRAY[points], ARRAY[transaction_id],
        ARRAY[points], active_after, pending_after, held, 0, ($10::integer[])[terms], request_id, order_id,
        ($11::timestamptz[])[terms], $16::timestamptz, explanation::jsonb
    FROM accrual
),
opened AS (
    -- A lot has the id of the accrual that it stems from.
    INSERT INTO lot (
        member_id, lot_id, transaction_id, pending, points, remaining, expired, mature_time, expire_time, due_time
    )
    SELECT
        member_id, transaction_id, transaction_id, ($12::boolean[])[terms], points, points, 0,
        ($13::timestamptz[])[terms], ($14::timestamptz[])[terms], ($15::timestamptz[])[terms]
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
    SELECT batch_id, 'points_accrued', payload FROM unnest($17::uuid[], $18::bytea[]) AS o (batch_id, payload)
)
SELECT active_after::bigint, pending_after::bigint, held FROM accrual ORDER BY ordinal
