-- outside of a transaction
-- Pending lots that end before they can become active, as those do that wait for a review: few, and balances do not count them past their
-- end. All other pending lots are left out: nearly every accrual begins as one, and would cost one more index.
-- What an interrupted run left is of no use.
DROP INDEX CONCURRENTLY IF EXISTS lot_pending_to_end;
CREATE INDEX CONCURRENTLY IF NOT EXISTS lot_pending_to_end ON lot (member_id, expire_time) INCLUDE (remaining)
WHERE remaining > 0 AND pending AND (mature_time IS NULL OR mature_time >= expire_time);
