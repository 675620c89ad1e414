-- outside of a transaction
-- Whom a device, a card or a gift leads to. An operation that names none of them is in none of these. Writers are not locked out.
-- What an interrupted run left is of no use.
DROP INDEX CONCURRENTLY IF EXISTS assessment_by_device;
CREATE INDEX CONCURRENTLY IF NOT EXISTS assessment_by_device ON assessment ((context ->> 'device'), member_id)
WHERE context ->> 'device' IS NOT NULL;
DROP INDEX CONCURRENTLY IF EXISTS assessment_by_card;
CREATE INDEX CONCURRENTLY IF NOT EXISTS assessment_by_card ON assessment ((context ->> 'card'), member_id)
WHERE context ->> 'card' IS NOT NULL;
DROP INDEX CONCURRENTLY IF EXISTS assessment_by_counterparty;
CREATE INDEX CONCURRENTLY IF NOT EXISTS assessment_by_counterparty ON assessment ((context ->> 'counterparty'), member_id)
WHERE context ->> 'counterparty' IS NOT NULL;
