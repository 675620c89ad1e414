-- Promotion windows: points of a hold that are worth more, and whose day of which window they are counted in.
ALTER TABLE hold
ADD COLUMN window_member_id text,
ADD COLUMN window_name text,
ADD COLUMN window_day date,
ADD COLUMN window_points bigint;
-- Not checked for the rows that are there: they have none, and the table may be large.
ALTER TABLE hold ADD CONSTRAINT hold_window_check CHECK (
    num_nulls(window_member_id, window_name, window_day, window_points) IN (0, 4)
    AND (window_points IS NULL OR window_points BETWEEN 1 AND points)
) NOT VALID;

-- What a member uses of a day of a promotion window: the points of holds that are worth more and were neither released nor given back.
CREATE TABLE promotion_use (
    member_id text NOT NULL,
    window_name text NOT NULL,
    day date NOT NULL,
    points bigint NOT NULL,
    -- The highest cap that a version of the program had when something was counted.
    points_max bigint NOT NULL,
    CONSTRAINT promotion_use_pkey PRIMARY KEY (member_id, window_name, day),
    CONSTRAINT promotion_use_points_check CHECK (points BETWEEN 0 AND points_max)
) WITH (fillfactor = 70);
GRANT SELECT, INSERT, UPDATE ON promotion_use TO {role};
