-- Whether the cash earns line by line, as rules that look at categories or prices need. Quotes of before earn as one line of all their
-- categories: whatever was begun with them is the same request to the ledger.
ALTER TABLE checkout ADD COLUMN earns_by_line boolean NOT NULL DEFAULT false;
