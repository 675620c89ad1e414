-- check: versions of the program are 1, 2, 3 and so on, without a gap
SELECT version, lag(version, 1, 0) OVER (ORDER BY version) AS before
FROM program.program_version
EXCEPT
SELECT number, number - 1 FROM generate_series(1, (SELECT count(*)::integer FROM program.program_version)) AS number

-- check: whatever was decided names a version of the program that exists
SELECT d.decided, d.program_version
FROM (
    SELECT 'a transaction' AS decided, program_version FROM points.transaction WHERE program_version > 0
    UNION
    SELECT 'an assessment', program_version FROM antifraud.assessment
    UNION
    SELECT 'a tier', program_version FROM tier.decision
    UNION
    SELECT 'a benefit', program_version FROM benefits.entitlement
    UNION
    SELECT 'a message', program_version FROM notification.message WHERE cause_event_id IS NOT NULL
    UNION
    SELECT 'a checkout', program_version FROM checkout.checkout
) AS d
WHERE NOT EXISTS (SELECT FROM program.program_version AS v WHERE v.version = d.program_version)
