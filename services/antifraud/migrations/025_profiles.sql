-- What is known of a member beyond windows: the lock and the memory of the facts about members. One row each, of bounded size.
CREATE TABLE profile (
    member_id text COLLATE "C" NOT NULL,
    -- Only what is known; times in microseconds since 1970: enrolled, changed, login, first_device; status [since, 1 active, 2 frozen,
    -- 3 closed]; tags [since, [tag]]; devices [[id, first, last]], 32 at most; place [time, latitude, longitude]; history by kind of
    -- operation [count, mean and squared deviations of points, the same of amount_minor]; refunds [[day, earned, returned, count]] in
    -- thousandths of the currency's unit, of 90 days
    state jsonb NOT NULL,
    write_time timestamptz NOT NULL,
    CONSTRAINT profile_pkey PRIMARY KEY (member_id)
-- Rows are rewritten all the time and no index sees it: room on the page keeps it that way.
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.05);

-- The latest gift of one member to another, for 31 days.
CREATE TABLE gift (
    giver text COLLATE "C" NOT NULL,
    receiver text COLLATE "C" NOT NULL,
    last_time timestamptz NOT NULL,
    CONSTRAINT gift_pkey PRIMARY KEY (giver, receiver),
    CONSTRAINT gift_between_two CHECK (giver <> receiver)
);
CREATE INDEX gift_received ON gift (receiver, last_time);

GRANT SELECT, INSERT, UPDATE ON profile TO {role};
GRANT SELECT, INSERT, UPDATE, DELETE ON gift TO {role};
