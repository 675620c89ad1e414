-- Members and their profiles.

-- name: add_members
-- Known members are neither locked nor changed; in key order, so that batches cannot deadlock.
INSERT INTO member (member_id)
SELECT member_id FROM unnest($1::text[]) AS fresh (member_id) ORDER BY member_id
ON CONFLICT (member_id) DO NOTHING

-- name: get_members
SELECT
    m.member_id, p.member_id IS NOT NULL AS is_enrolled, p.enrol_time, p.email, p.birth_month,
    p.birth_day, p.channel, p.language, p.email_consent
FROM member AS m LEFT JOIN profile AS p ON p.member_id = m.member_id
WHERE m.member_id = ANY($1::text[])

-- name: get_enrolments
-- One snapshot of both: a request that took effect is never seen without its profile, nor the other way round.
SELECT
    wanted.request_id, r.content_hash, wanted.member_id, p.member_id IS NOT NULL AS is_enrolled,
    p.enrol_time, p.email, p.birth_month, p.birth_day, p.channel, p.language, p.email_consent
FROM unnest($1::text[], $2::text[]) AS wanted (request_id, member_id)
LEFT JOIN request AS r ON r.request_id = wanted.request_id
LEFT JOIN profile AS p ON p.member_id = wanted.member_id

-- name: claim_enrolments
INSERT INTO request (request_id, method, content_hash)
SELECT request_id, $2, content_hash
FROM unnest($1::text[], $3::bytea[]) AS claim (request_id, content_hash)
ORDER BY request_id
ON CONFLICT (request_id) DO NOTHING
RETURNING request_id

-- name: add_profiles
INSERT INTO profile (
    member_id, enrol_time, email, birth_month, birth_day, channel, language, email_consent
)
SELECT member_id, enrol_time, email, birth_month, birth_day, channel, language, email_consent
FROM unnest(
    $1::text[], $2::timestamptz[], $3::text[], $4::smallint[], $5::smallint[], $6::text[],
    $7::text[], $8::boolean[]
) AS fresh (
    member_id, enrol_time, email, birth_month, birth_day, channel, language, email_consent
)
ORDER BY member_id
ON CONFLICT (member_id) DO NOTHING
RETURNING member_id
