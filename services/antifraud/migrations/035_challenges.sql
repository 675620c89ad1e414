-- What a member has to do before one operation goes through. Neither a code nor a hash of one is kept: a code is worked out from the
-- salt with a key that the database never sees.
CREATE TABLE challenge (
    member_id text COLLATE "C" NOT NULL,
    request_id text COLLATE "C" NOT NULL,
    -- 1, 2, ...: an operation whose challenge ran out may have another one
    number smallint NOT NULL,
    challenge_id uuid NOT NULL,
    -- the operation that it is bound to, as in its assessment
    kind smallint NOT NULL,
    points bigint NOT NULL,
    amount_minor bigint NOT NULL,
    program_version integer NOT NULL,
    -- name of the external verifier; empty for a code of ours
    verifier text NOT NULL,
    -- 1 open, 2 solved, 3 spent; that its time is up is told by expire_time
    state smallint NOT NULL,
    tries_left smallint NOT NULL,
    sends_left smallint NOT NULL,
    -- which code is the current one: 1, 2, ...
    send_number smallint NOT NULL,
    -- random, made anew for each code; empty once the challenge is over
    salt bytea NOT NULL,
    -- from when on the next code may be asked for, and until when the current one is good
    resend_time timestamptz NOT NULL,
    expire_time timestamptz NOT NULL,
    -- when the sender is to look at it; NULL once the current code was handed over, or will not be
    send_due_time timestamptz,
    -- when the current code was handed over
    sent_time timestamptz,
    create_time timestamptz NOT NULL,
    solve_time timestamptz,
    CONSTRAINT challenge_pkey PRIMARY KEY (member_id, request_id, number),
    CONSTRAINT challenge_number_in_range CHECK (number BETWEEN 1 AND 20),
    CONSTRAINT challenge_kind_known CHECK (kind BETWEEN 1 AND 2),
    CONSTRAINT challenge_state_known CHECK (state BETWEEN 1 AND 3),
    CONSTRAINT challenge_tries_not_negative CHECK (tries_left >= 0),
    CONSTRAINT challenge_sends_not_negative CHECK (sends_left >= 0),
    CONSTRAINT challenge_solved_once CHECK ((solve_time IS NOT NULL) = (state = 2)),
    CONSTRAINT challenge_over_keeps_no_salt CHECK (state = 1 OR (salt = '' AND send_due_time IS NULL))
);
CREATE INDEX challenge_by_id ON challenge (challenge_id);
CREATE INDEX challenge_due ON challenge (send_due_time) WHERE send_due_time IS NOT NULL;
-- What is to be forgotten one day: all but the solved ones.
CREATE INDEX challenge_ended ON challenge (expire_time) WHERE state <> 2;

-- How many codes a member was sent today: the bound that keeps anybody from being flooded, and its lock.
CREATE TABLE challenge_day (
    member_id text COLLATE "C" NOT NULL,
    -- of UTC
    day date NOT NULL,
    send_count integer NOT NULL,
    CONSTRAINT challenge_day_pkey PRIMARY KEY (member_id, day),
    CONSTRAINT challenge_day_not_negative CHECK (send_count >= 0)
);

GRANT SELECT, INSERT, DELETE ON challenge TO {role};
GRANT UPDATE (
    state, tries_left, sends_left, send_number, salt, resend_time, expire_time, send_due_time, sent_time, solve_time
) ON challenge TO {role};
GRANT SELECT, INSERT, UPDATE, DELETE ON challenge_day TO {role};
