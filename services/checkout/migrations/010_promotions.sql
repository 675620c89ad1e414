-- Points of a quote that a promotion window makes worth more, and its name. Empty in quotes of before: those did not
-- tell points which value they counted on.
ALTER TABLE checkout
ADD COLUMN boosted_points bigint,
ADD COLUMN promotion_window text;
-- Not checked for the rows that are there: they have none, and the table may be large.
ALTER TABLE checkout ADD CONSTRAINT checkout_boosted CHECK (boosted_points BETWEEN 0 AND points) NOT VALID;
