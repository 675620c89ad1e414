-- outside of a transaction
-- Assessments of a time range, for back-tests and reports. Rows are only ever added, so that their blocks follow the time: a summary of a few
-- bytes for each 128 blocks, made aside, is all that is needed, and it costs a write nothing.
CREATE INDEX CONCURRENTLY IF NOT EXISTS assessment_create_time_brin ON assessment USING brin (create_time) WITH (autosummarize = on);
