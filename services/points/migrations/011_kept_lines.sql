-- What is kept of each line of a purchase that had lines, in minor units by the id of the line; NULL for any other.
ALTER TABLE accrual_return ADD COLUMN kept_lines jsonb;
