-- Challenges: made with the assessment, tried, sent, forgotten.

-- name: find_challenged
-- The newest challenge of each operation, with what its assessment knows. OFFSET 0: a probe of the key per row.
SELECT
    a.member_id, a.request_id, a.kind, a.points, a.amount_minor, a.fired, a.program_version,
    coalesce(a.context ->> 'counterparty', '') AS counterparty, c.challenge_id, c.number, c.state, c.expire_time
FROM unnest($1::text[], $2::text[]) AS asked (member_id, request_id)
CROSS JOIN LATERAL (
    SELECT member_id, request_id, kind, points, amount_minor, fired, program_version, context
    FROM assessment
    WHERE member_id = asked.member_id AND request_id = asked.request_id
    OFFSET 0
) AS a
LEFT JOIN LATERAL (
    SELECT challenge_id, number, state, expire_time
    FROM challenge
    WHERE member_id = asked.member_id AND request_id = asked.request_id
    ORDER BY number DESC
    LIMIT 1
) AS c ON true

-- name: lock_days
-- How many codes each member was sent that day. The members come in order: two batches must not deadlock.
INSERT INTO challenge_day AS d (member_id, day, send_count)
SELECT member_id, $2::date, 0 FROM unnest($1::text[]) AS asked (member_id)
ON CONFLICT (member_id, day) DO UPDATE SET send_count = d.send_count
RETURNING member_id, send_count

-- name: add_to_days
UPDATE challenge_day AS d
SET send_count = d.send_count + added.number
FROM unnest($1::text[], $3::integer[]) AS added (member_id, number)
WHERE d.member_id = added.member_id AND d.day = $2::date

-- name: add_challenges
INSERT INTO challenge (
    member_id, request_id, number, challenge_id, kind, points, amount_minor, program_version, verifier, state, tries_left,
    sends_left, send_number, salt, resend_time, expire_time, send_due_time, create_time
)
SELECT
    member_id, request_id, number, challenge_id, kind, points, amount_minor, program_version, verifier, 1, tries_left, sends_left, 1,
    salt, resend_time, expire_time, $12::timestamptz, $12::timestamptz
FROM unnest(
    $1::text[], $2::text[], $3::smallint[], $4::uuid[], $5::smallint[], $6::bigint[], $7::bigint[], $8::integer[], $9::text[],
    $10::smallint[], $11::smallint[], $13::bytea[], $14::timestamptz[], $15::timestamptz[]
) AS added (
    member_id, request_id, number, challenge_id, kind, points, amount_minor, program_version, verifier, tries_left, sends_left,
    salt, resend_time, expire_time
)

-- name: get_challenge
SELECT
    member_id, request_id, number, challenge_id, kind, points, amount_minor, program_version, verifier, state, tries_left,
    sends_left, send_number, salt, resend_time, expire_time, sent_time, create_time, solve_time
FROM challenge
WHERE challenge_id = $1

-- name: lock_challenge
SELECT
    member_id, request_id, number, challenge_id, kind, points, amount_minor, program_version, verifier, state, tries_left,
    sends_left, send_number, salt, resend_time, expire_time, sent_time, create_time, solve_time
FROM challenge
WHERE challenge_id = $1
FOR UPDATE

-- name: use_try
-- A wrong code; with the last try the challenge is over.
UPDATE challenge
SET
    tries_left = tries_left - 1,
    state = CASE WHEN tries_left = 1 THEN 3 ELSE state END,
    salt = CASE WHEN tries_left = 1 THEN '' ELSE salt END,
    send_due_time = CASE WHEN tries_left > 1 THEN send_due_time END
WHERE challenge_id = $1

-- name: reserve_try
-- A try at an external verifier, counted before it is asked; the challenge stays open until it has answered.
UPDATE challenge
SET tries_left = tries_left - 1
WHERE challenge_id = $1

-- name: solve_challenge
UPDATE challenge
SET state = 2, solve_time = $2, salt = '', send_due_time = NULL
WHERE challenge_id = $1
RETURNING
    member_id, request_id, number, challenge_id, kind, points, amount_minor, program_version, verifier, state, tries_left,
    sends_left, send_number, salt, resend_time, expire_time, sent_time, create_time, solve_time

-- name: spend_challenge
-- After a wrong answer of an external verifier, where no try is left.
UPDATE challenge
SET state = 3, salt = '', send_due_time = NULL
WHERE challenge_id = $1 AND state = 1 AND tries_left = 0

-- name: resend_challenge
UPDATE challenge
SET
    sends_left = sends_left - 1,
    send_number = send_number + 1,
    salt = $2,
    send_due_time = $3,
    resend_time = $4,
    expire_time = $5,
    sent_time = NULL
WHERE challenge_id = $1
RETURNING
    member_id, request_id, number, challenge_id, kind, points, amount_minor, program_version, verifier, state, tries_left,
    sends_left, send_number, salt, resend_time, expire_time, sent_time, create_time, solve_time

-- name: claim_sends
-- Codes that are to be sent, each leased to the caller. One that came too late is not sent any more.
WITH due AS (
    SELECT member_id, request_id, number
    FROM challenge
    WHERE send_due_time <= $1
    ORDER BY send_due_time
    LIMIT $3
    FOR UPDATE SKIP LOCKED
)

UPDATE challenge AS c
SET send_due_time = CASE WHEN c.expire_time > $1 THEN $2::timestamptz END
FROM due
WHERE c.member_id = due.member_id AND c.request_id = due.request_id AND c.number = due.number
RETURNING
    c.member_id, c.request_id, c.number, c.challenge_id, c.kind, c.points, c.amount_minor, c.program_version, c.verifier, c.state,
    c.tries_left, c.sends_left, c.send_number, c.salt, c.resend_time, c.expire_time, c.sent_time, c.create_time, c.solve_time

-- name: settle_send
-- Unless another code was asked for meanwhile.
UPDATE challenge
SET send_due_time = NULL, sent_time = $3
WHERE challenge_id = $1 AND send_number = $2

-- name: postpone_send
UPDATE challenge
SET send_due_time = $3
WHERE challenge_id = $1 AND send_number = $2 AND send_due_time IS NOT NULL

-- name: prune_challenges
-- What was solved stays as long as its assessment: the proof why the operation went through.
DELETE FROM challenge
WHERE
    (member_id, request_id, number) IN (
        SELECT member_id, request_id, number FROM challenge
        WHERE state <> 2 AND expire_time < $1::timestamptz
        ORDER BY expire_time
        LIMIT $2
    )
    AND state <> 2
RETURNING 1

-- name: prune_days
DELETE FROM challenge_day
WHERE (member_id, day) IN (
    SELECT member_id, day FROM challenge_day
    WHERE day < $1::date
    LIMIT $2
)
RETURNING 1
