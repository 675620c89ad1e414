-- outside of a transaction
-- Assessments in the order of time, to fill counters from. They are appended in it, so a note per 32 pages is enough: writers look at it
-- once for each page range, not once for each row's place in a tree.
DROP INDEX CONCURRENTLY IF EXISTS assessment_create_time;
CREATE INDEX CONCURRENTLY IF NOT EXISTS assessment_create_time
ON assessment USING brin (create_time) WITH (pages_per_range = 32, autosummarize = on);
