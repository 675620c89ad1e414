-- So much an account holds at most: far from where sums do not fit any more. Of active, pending and held points together, so that what
-- moves between them, at the end of a return window, say, is never too much.
ALTER TABLE account ADD CONSTRAINT account_balance_max CHECK (active + pending + held <= 1000000000000000000) NOT VALID;
