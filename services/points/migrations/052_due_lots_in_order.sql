-- outside of a transaction
-- Lots that are due at one instant, as all of a year may be, are walked in the order of their ids, a step at a time: without the id in the
-- index each step read and sorted them all. Writers are not locked out; on ten million lots it takes some ten seconds, and a second index.
-- What an interrupted run left is of no use.
DROP INDEX CONCURRENTLY IF EXISTS lot_due_order;
CREATE INDEX CONCURRENTLY IF NOT EXISTS lot_due_order ON lot (due_time, lot_id) WHERE remaining > 0 AND due_time IS NOT NULL;
DROP INDEX CONCURRENTLY IF EXISTS lot_due;
