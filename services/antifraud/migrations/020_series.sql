-- More keys, pairs of keys and counts of different values. The rows that are there meet the new constraints: they met narrower ones.
-- A dimension is the horizon (1 to 5; 0 in rows from before, which nobody reads any more) in the thousands, and below it: 1 member,
-- 2 device, 3 ip, 4 card, 5 store, 6 staff, 7 order; two digits for a pair of them; hundreds for the key whose different values, by the
-- last digit, are counted.
ALTER TABLE velocity ADD CONSTRAINT velocity_dimension_range CHECK (
    dimension BETWEEN 1 AND 5999
    AND (
        dimension % 1000 BETWEEN 1 AND 7
        OR (
            dimension % 1000 BETWEEN 12 AND 67
            AND dimension % 1000 / 10 < dimension % 10
            AND dimension % 10 <= 7
        )
        OR (
            dimension % 1000 BETWEEN 102 AND 705
            AND dimension % 100 BETWEEN 1 AND 5
            AND dimension % 1000 / 100 <> dimension % 100
        )
    )
) NOT VALID;
-- Records of 28 bytes as before, or, of different values, of 24: int64 microseconds of the first and of the last sighting, int64 hash.
ALTER TABLE velocity ADD CONSTRAINT velocity_entries_packed CHECK (
    length(entries) > 0 AND length(entries) % CASE WHEN dimension % 1000 > 100 THEN 24 ELSE 28 END = 0
) NOT VALID;
-- squawk-ignore ban-drop-constraint
ALTER TABLE velocity DROP CONSTRAINT velocity_dimension_known;
-- squawk-ignore ban-drop-constraint
ALTER TABLE velocity DROP CONSTRAINT velocity_entries_whole;
