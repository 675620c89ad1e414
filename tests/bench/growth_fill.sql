-- A ledger that has run for a year, made at once: what accruals told late (active at once) leave in each table. `size` says how much.
-- No lot is used up, the worst case for the indexes of open lots.

CREATE TEMP VIEW made AS
SELECT
    'm' || member AS member_id, member, points, nth, recorded, expire_time, lot_id,
    -- The first lots of all members end on one day and have had their last warning; all others wait for their first.
    CASE WHEN nth = 0 THEN expire_time ELSE expire_time - interval '30 days' END AS due_time,
    overlay(lot_id::text PLACING 'a' FROM 20)::uuid AS assessment_id,
    md5(n::text) AS request_id
FROM (
    SELECT
        d.*, 100 + member % 400 AS points, recorded + interval '365 days' AS expire_time,
        -- A UUID of version 7 of that millisecond.
        (
            lpad(to_hex(floor(extract(epoch FROM recorded) * 1000)::bigint), 12, '0')
            || '7' || lpad(to_hex(n % 4096), 3, '0') || '8' || lpad(to_hex(n), 15, '0')
        )::uuid AS lot_id
    FROM (
        SELECT
            n, n / members AS nth, 1 + (n % members * 1000003 + n / members * 7919) % members AS member,
            CASE
                WHEN n < members THEN base_time + first_end - interval '365 days' + first_span * (n::float8 / members)
                ELSE base_time - interval '300 days' + interval '299 days' * ((n - members)::float8 / (lots - members))
            END AS recorded
        FROM size CROSS JOIN LATERAL generate_series(0, lots - 1) AS n
    ) AS d
) AS e;

-- A partition a month, as the service makes them.
SELECT points.ensure_partitions(base_time - make_interval(months => 3 * quarter)) FROM size, generate_series(0, 5) AS quarter;

INSERT INTO points.account (member_id, tier_id, active)
SELECT 'm' || member, 'member', (100 + member % 400) * (lots / members)
FROM size CROSS JOIN LATERAL generate_series(1, members) AS member;

INSERT INTO points.transaction (
    member_id, transaction_id, kind, sources, targets, points, lot_ids, lot_points, active_after, pending_after,
    held_after, debt_after, program_version, request_id, order_id, occurred_time, record_time, explanation
)
SELECT
    member_id, lot_id, 1, ARRAY[11], ARRAY[1], ARRAY[points], ARRAY[lot_id], ARRAY[points], points * (nth + 1), 0,
    0, 0, 1, request_id, request_id, recorded, recorded,
    (
        '{"points":' || points || ',"spend":' || points * 100 || ',"tier":"member","held":"1","assessment":"'
        || assessment_id || '"}'
    )::jsonb
FROM made;

INSERT INTO points.lot (
    member_id, lot_id, transaction_id, pending, points, remaining, expired, mature_time, expire_time, due_time
)
SELECT
    member_id, lot_id, lot_id, false, points, points, 0, recorded, expire_time, due_time
FROM made;

INSERT INTO points.request (request_id, method, content_hash, response, record_time)
SELECT
    request_id, 'Accrue', decode(request_id, 'hex'), uuid_send(lot_id) || convert_to(member_id, 'UTF8'), recorded
FROM made;

INSERT INTO antifraud.assessment (
    member_id, request_id, assessment_id, kind, action, score, program_version, points, occurred_time, create_time
)
SELECT member_id, request_id, assessment_id, 1, 1, 0, 1, points, recorded, recorded
FROM made;

-- The last accrual of each member, in the form of antifraud/velocity.py: little-endian time, count, amount, points.
INSERT INTO antifraud.velocity (key, dimension, kind, entries, write_time)
SELECT
    member_id, 1001, 1,
    reverse(int8send((extract(epoch FROM recorded) * 1000000)::bigint)) || reverse(int4send(1))
    || reverse(int8send(points * 100)) || reverse(int8send(points)),
    recorded
FROM made CROSS JOIN size
WHERE nth = lots / members - 1;
