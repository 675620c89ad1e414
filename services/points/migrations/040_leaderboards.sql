-- What members have earned in a period, for ranks. Fed behind the ledger, by its own events: nothing of it is in the way of a write.

-- A leaderboard: a period, the day of the program on which it begins, and a region; '' stands for everywhere.
CREATE TABLE board (
    board_id bigint GENERATED ALWAYS AS IDENTITY,
    period smallint NOT NULL,
    start_date date NOT NULL,
    region text NOT NULL,
    CONSTRAINT board_pkey PRIMARY KEY (board_id),
    CONSTRAINT board_key UNIQUE (period, start_date, region)
);

-- A member's points on a leaderboard: earned less taken back. Below 1 there is no rank.
CREATE TABLE score (
    member_id text NOT NULL,
    board_id bigint NOT NULL,
    points bigint NOT NULL,
    CONSTRAINT score_pkey PRIMARY KEY (member_id, board_id)
) WITH (fillfactor = 80);
CREATE INDEX score_rank ON score (board_id, points DESC, member_id);

GRANT SELECT, INSERT, DELETE ON board TO {role};
GRANT SELECT, INSERT, UPDATE, DELETE ON score TO {role};
