-- check: the entries of every transaction sum to 0, and all of them together
SELECT t.member_id, t.transaction_id
FROM points.transaction AS t
WHERE
    cardinality(t.sources) <> cardinality(t.points) OR cardinality(t.targets) <> cardinality(t.points)
    OR 0 >= ANY (t.points)

-- check: a balance equals the sum of its lots and holds
SELECT a.member_id, a.active, l.active AS lots_active, a.pending, l.pending AS lots_pending, a.held, h.held AS holds_held
FROM points.account AS a
LEFT JOIN (
    SELECT
        member_id, sum(remaining) FILTER (WHERE NOT pending) AS active, sum(remaining) FILTER (WHERE pending) AS pending
    FROM points.lot GROUP BY member_id
) AS l USING (member_id)
LEFT JOIN (
    SELECT member_id, sum(points - captured - released) AS held FROM points.hold GROUP BY member_id
) AS h USING (member_id)
WHERE (a.active, a.pending, a.held) <> (coalesce(l.active, 0), coalesce(l.pending, 0), coalesce(h.held, 0))

-- check: a balance equals the sum of its entries
SELECT a.member_id, a.active, a.pending, a.held, a.debt, e.active AS entries_active, e.pending AS entries_pending,
    e.held AS entries_held, e.debt AS entries_debt
FROM points.account AS a
LEFT JOIN (
    SELECT
        member_id,
        sum(points) FILTER (WHERE account = 1) AS active, sum(points) FILTER (WHERE account = 2) AS pending,
        sum(points) FILTER (WHERE account = 3) AS held, -sum(points) FILTER (WHERE account = 4) AS debt
    FROM (
        SELECT member_id, unnest(sources) AS account, -unnest(points) AS points FROM points.transaction
        UNION ALL
        SELECT member_id, unnest(targets), unnest(points) FROM points.transaction
    ) AS entry
    GROUP BY member_id
) AS e USING (member_id)
WHERE
    (a.active, a.pending, a.held, a.debt)
    <> (coalesce(e.active, 0), coalesce(e.pending, 0), coalesce(e.held, 0), coalesce(e.debt, 0))

-- check: every member with transactions has an account
SELECT DISTINCT t.member_id
FROM points.transaction AS t
WHERE NOT EXISTS (SELECT 1 FROM points.account AS a WHERE a.member_id = t.member_id)

-- check: no balance is below 0
SELECT member_id, active, pending, held, debt FROM points.account WHERE least(active, pending, held, debt) < 0

-- check: what is left of a lot equals what was put into it less what was drawn from it
SELECT l.member_id, l.lot_id, l.remaining, m.points AS movements
FROM points.lot AS l
LEFT JOIN (
    SELECT member_id, lot_id, sum(points) AS points
    FROM (SELECT member_id, unnest(lot_ids) AS lot_id, unnest(lot_points) AS points FROM points.transaction) AS move
    GROUP BY member_id, lot_id
) AS m USING (member_id, lot_id)
WHERE l.remaining IS DISTINCT FROM coalesce(m.points, 0)

-- check: one effect per request id
SELECT request_id, count(*) AS effects
FROM points.transaction
WHERE request_id IS NOT NULL
GROUP BY request_id
HAVING count(*) > 1

-- check: every effect of a request is remembered under its id
-- A command of the queue is answered by its transaction, any other request by a message that names it.
SELECT t.member_id, t.transaction_id, t.request_id
FROM points.transaction AS t
LEFT JOIN points.request AS r USING (request_id)
WHERE
    t.request_id IS NOT NULL
    AND CASE
        WHEN r.method LIKE '%Request' THEN position(convert_to(t.transaction_id::text, 'UTF8') IN r.response) = 0
        ELSE r.response IS DISTINCT FROM uuid_send(t.transaction_id) || convert_to(t.member_id, 'UTF8')
    END

-- check: held = captured + released + still held, for every hold and each of its lots
SELECT h.member_id, h.hold_id, h.points, h.captured, h.released, h.refunded
FROM points.hold AS h
LEFT JOIN (
    SELECT
        member_id, hold_id, sum(points) AS points, sum(captured) AS captured, sum(released) AS released,
        sum(refunded) AS refunded
    FROM points.hold_lot GROUP BY member_id, hold_id
) AS l USING (member_id, hold_id)
WHERE
    (h.points, h.captured, h.released, h.refunded)
    IS DISTINCT FROM (l.points::bigint, l.captured::bigint, l.released::bigint, l.refunded::bigint)

-- check: what the ledger says of a hold equals the hold
SELECT h.member_id, h.hold_id, h.points, t.held, h.captured, t.captured AS ledger_captured, h.refunded, t.refunded AS ledger_refunded
FROM points.hold AS h
LEFT JOIN (
    -- By hold alone: a merge moves a hold to another member, and its history stays where it was.
    SELECT
        hold_id,
        sum(points) FILTER (WHERE target = 3 OR (source = 1 AND target = 12)) AS held,
        sum(points) FILTER (WHERE source IN (1, 3) AND target = 12) AS captured,
        sum(points) FILTER (WHERE source = 3 AND target = 1) AS released,
        sum(points) FILTER (WHERE source = 12) AS refunded
    FROM (
        SELECT hold_id, unnest(sources) AS source, unnest(targets) AS target, unnest(points) AS points
        FROM points.transaction WHERE hold_id IS NOT NULL
    ) AS posting
    GROUP BY hold_id
) AS t USING (hold_id)
WHERE
    (h.points, h.captured, h.released, h.refunded) IS DISTINCT FROM (
        t.held::bigint, coalesce(t.captured, 0)::bigint, coalesce(t.released, 0)::bigint, coalesce(t.refunded, 0)::bigint
    )

-- check: what holds use of a day of a promotion window is what is counted for the member
SELECT member_id, window_name, day, u.points AS counted, h.points AS used
FROM points.promotion_use AS u
FULL JOIN (
    -- Points that are worth more are released and given back last.
    SELECT
        window_member_id AS member_id, window_name, window_day AS day,
        sum(least(window_points, points - released - refunded)) AS points
    FROM points.hold WHERE window_name IS NOT NULL
    GROUP BY window_member_id, window_name, window_day
) AS h USING (member_id, window_name, day)
WHERE coalesce(u.points, 0) <> coalesce(h.points, 0)

-- check: nobody uses more of a day of a promotion window than its cap
SELECT member_id, window_name, day, points, points_max FROM points.promotion_use WHERE points > points_max

-- check: refunded never exceeds captured
SELECT member_id, hold_id, captured, refunded FROM points.hold WHERE refunded > captured

-- check: no accrual is taken back beyond what it earned
SELECT r.member_id, r.transaction_id, r.reversed_points, t.explanation -> 'points' AS earned
FROM points.accrual_return AS r
LEFT JOIN points.transaction AS t USING (member_id, transaction_id)
WHERE
    t.transaction_id IS NULL OR r.reversed_points > (t.explanation ->> 'points')::bigint
    OR r.returned_minor > (t.explanation ->> 'spend')::bigint

-- check: what members hold equals what the program has issued less what it took back
SELECT m.holdings, p.issued_less_taken
FROM (SELECT coalesce(sum(active + pending + held - debt), 0) AS holdings FROM points.account) AS m
CROSS JOIN (
    SELECT coalesce(sum(points), 0) AS issued_less_taken
    FROM (
        SELECT unnest(sources) AS account, unnest(points) AS points FROM points.transaction
        UNION ALL
        SELECT unnest(targets), -unnest(points) FROM points.transaction
    ) AS entry
    WHERE account > 10
) AS p
WHERE m.holdings <> p.issued_less_taken

-- check: an account stands as it was last decided
SELECT a.member_id, a.state, a.merged_into, l.kind AS last_action
FROM points.account AS a
LEFT JOIN LATERAL (
    SELECT kind FROM points.account_action WHERE member_id = a.member_id AND kind <= 5 ORDER BY action_id DESC LIMIT 1
) AS l ON true
WHERE
    a.state <> 4
    AND (
        a.state IS DISTINCT FROM CASE l.kind WHEN 1 THEN 1 WHEN 3 THEN 2 WHEN 4 THEN 3 ELSE 0 END
        OR (a.state = 3) <> (a.merged_into IS NOT NULL)
    )

-- check: a closed or merged account has no points
SELECT member_id, state, active, pending, held
FROM points.account
WHERE state IN (2, 3) AND (active > 0 OR pending > 0 OR held > 0)

-- check: what left members for other members has reached them
SELECT sum(points) AS points
FROM (
    SELECT unnest(sources) AS account, -unnest(points) AS points FROM points.transaction
    UNION ALL
    SELECT unnest(targets), unnest(points) FROM points.transaction
) AS entry
WHERE account IN (18, 19)
HAVING sum(points) <> 0

-- check: a gift is what both of its transactions say
SELECT g.member_id, g.transaction_id, g.points, g.fee_points
FROM points.gift AS g
LEFT JOIN points.transaction AS s USING (member_id, transaction_id)
LEFT JOIN points.transaction AS r
    ON r.member_id = g.receiver_member_id AND r.transaction_id = g.received_transaction_id
WHERE
    s.kind IS DISTINCT FROM 9 OR r.kind IS DISTINCT FROM 10
    OR (SELECT sum(p) FROM unnest(s.points) AS p) <> g.points
    OR (SELECT sum(p) FROM unnest(r.points) AS p) <> g.points - g.fee_points
    OR s.explanation -> 'counterpart' <> jsonb_build_array(g.receiver_member_id, g.received_transaction_id::text)
    OR r.explanation -> 'counterpart' <> jsonb_build_array(g.member_id, g.transaction_id::text)
UNION ALL
SELECT t.member_id, t.transaction_id, NULL, NULL
FROM points.transaction AS t
WHERE t.kind = 9 AND NOT EXISTS (SELECT 1 FROM points.gift AS g WHERE g.transaction_id = t.transaction_id)

-- check: a lot that came out of another one has its expiry and its accrual
SELECT o.member_id, o.lot_id, o.source_member_id, o.source_lot_id
FROM points.lot_origin AS o
LEFT JOIN points.lot AS l USING (member_id, lot_id)
LEFT JOIN points.lot AS s ON s.member_id = o.source_member_id AND s.lot_id = o.source_lot_id
WHERE
    l.transaction_id IS DISTINCT FROM s.transaction_id
    OR (
        l.expire_time IS DISTINCT FROM s.expire_time
        -- Save where one of the two accounts was given the time back for which anti-fraud had frozen it.
        AND NOT EXISTS (SELECT FROM points.lot_extension AS e WHERE e.lot_id IN (l.lot_id, s.lot_id))
    )
    OR l.lot_id IS NULL OR l.points > s.points

-- check: a lot that was opened in place of another one is of the same account and accrual
SELECT r.member_id, r.lot_id, r.replaced_lot_id
FROM points.lot_replacement AS r
LEFT JOIN points.lot AS l ON l.member_id = r.member_id AND l.lot_id = r.lot_id
LEFT JOIN points.lot AS s ON s.member_id = r.member_id AND s.lot_id = r.replaced_lot_id
WHERE l.lot_id IS NULL OR s.lot_id IS NULL OR l.transaction_id <> s.transaction_id OR l.points > s.points

-- check: a donation certificate says what the ledger says
SELECT d.member_id, d.certificate_id, d.points
FROM points.donation AS d
LEFT JOIN points.transaction AS t USING (member_id, transaction_id)
WHERE
    t.transaction_id IS NULL OR t.kind <> 11 OR t.targets <> '{17}' OR t.points <> ARRAY[d.points]
    OR t.explanation ->> 'certificate' <> d.certificate_id::text
UNION ALL
SELECT t.member_id, t.transaction_id, NULL
FROM points.transaction AS t
WHERE t.kind = 11 AND NOT EXISTS (SELECT 1 FROM points.donation AS d WHERE d.transaction_id = t.transaction_id)

-- check: an adjustment is booked as it was asked for, and by two operators where it had to wait
SELECT a.member_id, a.adjustment_id, a.points, a.state
FROM points.adjustment AS a
LEFT JOIN points.transaction AS t USING (member_id, transaction_id)
WHERE
    (a.state = 2) <> (t.transaction_id IS NOT NULL)
    OR (t.kind, t.explanation ->> 'adjustment') <> (12, a.adjustment_id::text)
    OR CASE WHEN t.targets = '{20}' THEN -t.points[1] ELSE t.points[1] END <> a.points
    OR (a.state = 2 AND lower(a.decider) = lower(a.operator))
UNION ALL
SELECT t.member_id, t.transaction_id, NULL, NULL
FROM points.transaction AS t
WHERE
    t.kind = 12
    AND NOT EXISTS (SELECT 1 FROM points.adjustment AS a WHERE a.transaction_id = t.transaction_id)

-- check: a merge moved what both of its transactions say, and so did its undoing
SELECT m.member_id, m.merge_id, m.merged_member_id, m.is_undoing
FROM (
    SELECT
        member_id, merge_id, merged_member_id, false AS is_undoing, active + pending + held + debt AS points,
        merged_member_id AS from_member_id, merged_transaction_id AS from_id, member_id AS to_member_id,
        transaction_id AS to_id
    FROM points.merge
    UNION ALL
    SELECT
        member_id, merge_id, merged_member_id, true, undo_active + undo_pending + undo_held + undo_debt,
        member_id, undo_transaction_id, merged_member_id, undo_merged_transaction_id
    FROM points.merge WHERE undo_time IS NOT NULL
) AS m
LEFT JOIN points.transaction AS s ON s.member_id = m.from_member_id AND s.transaction_id = m.from_id
LEFT JOIN points.transaction AS t ON t.member_id = m.to_member_id AND t.transaction_id = m.to_id
WHERE
    s.kind IS DISTINCT FROM 13 OR t.kind IS DISTINCT FROM 14
    OR s.explanation -> 'counterpart' <> jsonb_build_array(t.member_id, t.transaction_id::text)
    OR t.explanation -> 'counterpart' <> jsonb_build_array(s.member_id, s.transaction_id::text)
    OR (SELECT coalesce(sum(p), 0) FROM unnest(s.points) AS p) <> m.points
    OR (SELECT coalesce(sum(p), 0) FROM unnest(t.points) AS p) <> m.points

-- check: an account is merged while its merge stands
SELECT a.member_id, a.state, a.merged_into, m.member_id AS survivor_member_id
FROM points.account AS a
FULL JOIN (SELECT * FROM points.merge WHERE undo_time IS NULL) AS m ON m.merged_member_id = a.member_id
WHERE (a.state = 3 OR m.merge_id IS NOT NULL) AND (a.state, a.merged_into) IS DISTINCT FROM (3, m.member_id)

-- check: what went into a pool and out of it is what both transactions say
SELECT m.household_id, m.pool_transaction_id, m.member_id, m.points
FROM points.pool_move AS m
LEFT JOIN points.transaction AS p ON p.member_id = m.household_id AND p.transaction_id = m.pool_transaction_id
LEFT JOIN points.transaction AS o ON o.member_id = m.member_id AND o.transaction_id = m.member_transaction_id
WHERE
    (p.kind, o.kind) NOT IN ((20, 21), (21, 20)) OR p.kind IS NULL OR o.kind IS NULL
    OR (m.points > 0 AND p.kind = 20) OR (m.points < 0 AND p.kind = 21)
    OR (SELECT coalesce(sum(s), 0) FROM unnest(p.points) AS s) <> abs(m.points)
    OR (SELECT coalesce(sum(s), 0) FROM unnest(o.points) AS s) <> abs(m.points)
UNION ALL
SELECT t.member_id, t.transaction_id, NULL, NULL
FROM points.transaction AS t
WHERE
    t.kind IN (20, 21)
    AND NOT EXISTS (
        SELECT 1 FROM points.pool_move AS m
        WHERE t.transaction_id IN (m.pool_transaction_id, m.member_transaction_id)
    )

-- check: a household that stands has one owner and its pool, a dissolved one has neither members nor points
SELECT h.household_id, h.state, m.owners, m.members, a.state AS account_state
FROM points.household AS h
LEFT JOIN (
    SELECT household_id, count(*) AS members, count(*) FILTER (WHERE role = 1) AS owners
    FROM points.household_member WHERE leave_time IS NULL GROUP BY household_id
) AS m USING (household_id)
LEFT JOIN points.account AS a ON a.member_id = h.household_id
WHERE
    a.state IS DISTINCT FROM 4
    OR CASE
        WHEN h.state = 1 THEN m.owners IS DISTINCT FROM 1
        ELSE m.members IS NOT NULL OR a.active > 0 OR a.pending > 0 OR a.held > 0
    END

-- check: every hold of a pool names who spends
SELECT h.member_id, h.hold_id
FROM points.hold AS h
INNER JOIN points.account AS a USING (member_id)
WHERE
    a.state = 4
    AND NOT EXISTS (
        SELECT 1 FROM points.pool_hold AS p WHERE p.household_id = h.member_id AND p.hold_id = h.hold_id
    )

-- check: nobody has more in a pool than they brought
SELECT o.household_id, o.member_id, o.points, m.points AS brought
FROM (
    WITH RECURSIVE brought AS (
        SELECT o.member_id AS household_id, o.source_member_id AS member_id, o.lot_id
        FROM points.lot_origin AS o
        INNER JOIN points.household AS h ON h.household_id = o.member_id
        UNION ALL
        SELECT b.household_id, b.member_id, r.lot_id
        FROM brought AS b
        INNER JOIN points.lot_replacement AS r ON r.member_id = b.household_id AND r.replaced_lot_id = b.lot_id
    )
    SELECT b.household_id, b.member_id, sum(l.remaining) AS points
    FROM brought AS b
    INNER JOIN points.lot AS l ON l.member_id = b.household_id AND l.lot_id = b.lot_id
    GROUP BY 1, 2
) AS o
LEFT JOIN (
    SELECT household_id, member_id, sum(points) AS points FROM points.pool_move GROUP BY household_id, member_id
) AS m USING (household_id, member_id)
-- The last owner may have taken more than they brought.
WHERE o.points > greatest(coalesce(m.points, 0), 0)

-- check: every gift and every donation was assessed by anti-fraud
SELECT t.member_id, t.transaction_id, t.kind
FROM points.transaction AS t
LEFT JOIN antifraud.assessment AS a ON a.assessment_id::text = t.explanation ->> 'assessment'
WHERE t.kind IN (9, 11) AND a.assessment_id IS NULL

-- check: every accrual and every redemption was assessed by anti-fraud, or waits for a review because it gave no answer
SELECT t.member_id, t.transaction_id, t.kind
FROM points.transaction AS t
LEFT JOIN antifraud.assessment AS a ON a.assessment_id::text = t.explanation ->> 'assessment'
WHERE
    t.kind IN (1, 3, 18) AND a.assessment_id IS NULL
    AND NOT (t.kind = 1 AND t.explanation ->> 'assessment' IS NULL AND (t.explanation ->> 'review')::boolean IS TRUE)
    -- Or anti-fraud gave no answer again when it was booked, and its verdict was known already.
    AND NOT EXISTS (
        SELECT 1 FROM points.review_verdict AS v
        WHERE v.member_id = t.member_id AND v.request_id = t.request_id AND v.is_legitimate AND t.kind = 1
    )

-- check: a bonus names the activity that completed it
SELECT t.member_id, t.transaction_id, t.explanation ->> 'cause' AS cause
FROM points.transaction AS t
LEFT JOIN points.transaction AS c ON c.transaction_id::text = t.explanation ->> 'cause' AND c.kind = 1
WHERE t.kind = 19 AND c.transaction_id IS NULL

-- check: a counter that was reached names the bonus that was booked for it
SELECT p.member_id, p.name, p.period, p.bonus_transaction_id
FROM points.progress AS p
LEFT JOIN points.transaction AS t ON t.member_id = p.member_id AND t.transaction_id = p.bonus_transaction_id AND t.kind = 19
WHERE
    p.bonus_transaction_id IS NOT NULL
    AND split_part(p.name, ':', 2) IS DISTINCT FROM t.explanation ->> 'name'

-- check: a bonus of a team is what the ledger says, booked once for each member and period
SELECT b.member_id, b.name, b.period, b.points, t.explanation ->> 'points' AS booked
FROM points.team_bonus AS b
LEFT JOIN points.transaction AS t USING (member_id, transaction_id)
WHERE
    b.transaction_id IS NOT NULL
    AND (b.name, b.points) IS DISTINCT FROM (t.explanation ->> 'name', (t.explanation ->> 'points')::bigint)

-- check: a team has as many members as it counts
SELECT t.team_id, t.member_count, m.members
FROM points.team AS t
LEFT JOIN (SELECT team_id, count(*) AS members FROM points.team_member GROUP BY team_id) AS m USING (team_id)
WHERE t.member_count <> coalesce(m.members, 0)

-- check: a debt is what its return made, and what was written off of it is booked
SELECT d.member_id, d.transaction_id, d.points, d.written_off, w.points AS booked
FROM points.debt AS d
LEFT JOIN points.transaction AS t ON t.member_id = d.member_id AND t.transaction_id = d.transaction_id
LEFT JOIN (
    -- By the return alone: after a merge the survivor owes it.
    SELECT reversed_transaction_id, sum(points[1]) AS points
    FROM points.transaction WHERE kind = 17
    GROUP BY reversed_transaction_id
) AS w ON w.reversed_transaction_id = d.transaction_id
WHERE
    t.kind IS DISTINCT FROM 7 OR NOT 4 = ANY (t.sources)
    OR t.points[array_position(t.sources, 4::smallint)] <> d.points OR d.written_off <> coalesce(w.points, 0)

-- check: nobody owes more than what may be left of their debts, and of those of accounts merged into theirs
WITH RECURSIVE open AS (
    SELECT member_id, points - repaid AS points FROM points.debt WHERE expire_time IS NULL OR due_time IS NOT NULL
    UNION ALL
    SELECT a.merged_into, o.points
    FROM open AS o
    INNER JOIN points.account AS a ON a.member_id = o.member_id AND a.merged_into IS NOT NULL
)
SELECT a.member_id, a.debt, o.points AS open_debts
FROM points.account AS a
LEFT JOIN (SELECT member_id, sum(points) AS points FROM open GROUP BY member_id) AS o USING (member_id)
WHERE a.debt > coalesce(o.points, 0)

-- check: what waits for a review stems from an accrual under review that is not settled
SELECT l.member_id, l.lot_id, l.transaction_id
FROM points.lot AS l
LEFT JOIN points.transaction AS t ON t.transaction_id = l.transaction_id AND t.kind IN (1, 19)
-- A bonus waits together with the accrual that completed it.
LEFT JOIN points.review_verdict AS v ON v.accrual_transaction_id::text = coalesce(t.explanation ->> 'cause', t.transaction_id::text)
WHERE
    l.remaining > 0 AND l.pending AND l.mature_time IS NULL
    AND ((t.explanation ->> 'review')::boolean IS NOT TRUE OR v.settle_time IS NOT NULL)

-- check: a settled review is of an accrual that was under review, and was booked as it was decided
SELECT v.member_id, v.request_id, v.accrual_transaction_id, v.transaction_id, s.kind
FROM points.review_verdict AS v
LEFT JOIN points.transaction AS t ON t.member_id = v.member_id AND t.transaction_id = v.accrual_transaction_id
LEFT JOIN points.transaction AS s ON s.transaction_id = v.transaction_id
WHERE
    v.settle_time IS NOT NULL
    AND (
        t.request_id IS DISTINCT FROM v.request_id OR t.kind <> 1 OR (t.explanation ->> 'review')::boolean IS NOT TRUE
        OR CASE WHEN v.is_legitimate THEN s.kind IS DISTINCT FROM 2 ELSE coalesce(s.kind, 7) <> 7 END
    )

-- check: what anti-fraud has yet to be asked about is an accrual under review that has no assessment
SELECT u.member_id, u.request_id, u.transaction_id
FROM points.unassessed AS u
LEFT JOIN points.transaction AS t ON t.member_id = u.member_id AND t.transaction_id = u.transaction_id
WHERE
    t.request_id IS DISTINCT FROM u.request_id OR t.kind <> 1 OR (t.explanation ->> 'review')::boolean IS NOT TRUE
    OR t.explanation ->> 'assessment' IS NOT NULL

-- check: what anti-fraud forbids an account is what it was heard to do and not to lift
SELECT a.member_id, a.restriction, a.frozen_time, h.restriction AS heard
FROM points.account AS a
LEFT JOIN (
    SELECT member_id, max(3 - kind) AS restriction
    FROM points.antifraud_action
    WHERE take_time IS NOT NULL AND lift_time IS NULL
    GROUP BY member_id
) AS h USING (member_id)
WHERE a.restriction <> coalesce(h.restriction, 0)

-- check: what was heard of anti-fraud is what it did
SELECT h.member_id, h.action_id, h.kind, h.take_time, h.lift_time
FROM points.antifraud_action AS h
LEFT JOIN antifraud.action AS t ON t.action_id = h.action_id
LEFT JOIN antifraud.action AS l ON l.lifts_action_id = h.action_id
WHERE
    (h.member_id, h.kind) IS DISTINCT FROM (t.member_id, t.kind)
    OR h.take_time <> t.create_time OR (h.lift_time IS NOT NULL AND h.lift_time IS DISTINCT FROM l.create_time)

-- check: a lot ends where its end was last moved to
SELECT e.member_id, e.lot_id, e.to_time, l.expire_time
FROM (
    SELECT member_id, lot_id, max(to_time) AS to_time
    FROM points.lot_extension
    GROUP BY member_id, lot_id
) AS e
LEFT JOIN points.lot AS l USING (member_id, lot_id)
WHERE l.expire_time IS DISTINCT FROM e.to_time
