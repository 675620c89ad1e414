-- What rules of earning count of a member from one activity to the next: points under caps, purchases of a category, days in a row,
-- progress of challenges. Changed under the lock of the member's account only.
CREATE TABLE progress (
    member_id text NOT NULL,
    -- What is counted, such as cap:check_in or challenge:big_month, and the period, such as 2026-11-24; empty for ever.
    name text NOT NULL,
    period text NOT NULL,
    amount bigint NOT NULL,
    -- The last day that counted, or the first one of a challenge of some days: days since 0001-01-01, from 1; 0 for none.
    day integer NOT NULL,
    reached integer NOT NULL,
    -- What was booked when it was last reached; NULL where nothing was.
    bonus_transaction_id uuid,
    CONSTRAINT progress_pkey PRIMARY KEY (member_id, name, period),
    CONSTRAINT progress_amount_check CHECK (amount >= 0 AND day >= 0 AND reached >= 0)
) WITH (fillfactor = 70);

-- Who counts together for team challenges. A member is in one team at most.
CREATE TABLE team (
    team_id text NOT NULL,
    name text NOT NULL,
    member_count integer NOT NULL DEFAULT 0,
    create_time timestamptz NOT NULL,
    CONSTRAINT team_pkey PRIMARY KEY (team_id),
    CONSTRAINT team_member_count_check CHECK (member_count BETWEEN 0 AND 50)
) WITH (fillfactor = 70);

CREATE TABLE team_member (
    member_id text NOT NULL,
    team_id text NOT NULL,
    join_time timestamptz NOT NULL,
    CONSTRAINT team_member_pkey PRIMARY KEY (member_id)
);
CREATE INDEX team_member_team ON team_member (team_id, member_id);

-- The same as progress, of a team: changed under the lock of its row in team, which is taken after those of accounts.
CREATE TABLE team_progress (
    team_id text NOT NULL,
    name text NOT NULL,
    period text NOT NULL,
    amount bigint NOT NULL,
    day integer NOT NULL,
    reached integer NOT NULL,
    CONSTRAINT team_progress_pkey PRIMARY KEY (team_id, name, period),
    CONSTRAINT team_progress_amount_check CHECK (amount >= 0 AND day >= 0 AND reached >= 0)
) WITH (fillfactor = 70);

-- What the members of a team are given for a challenge that it reached, once for each period: booked afterwards, each by itself.
CREATE TABLE team_bonus (
    member_id text NOT NULL,
    name text NOT NULL,
    period text NOT NULL,
    team_id text NOT NULL,
    points bigint NOT NULL,
    badge text NOT NULL,
    reason text NOT NULL,
    program_version integer NOT NULL,
    occurred_time timestamptz NOT NULL,
    cause_transaction_id uuid NOT NULL,
    -- NULL until it is booked, or found not to be booked because the account takes no part any more.
    book_time timestamptz,
    transaction_id uuid,
    CONSTRAINT team_bonus_pkey PRIMARY KEY (member_id, name, period)
);
CREATE INDEX team_bonus_due ON team_bonus (occurred_time, member_id) WHERE book_time IS NULL;

-- Facts about members that the tier service owns, kept by events: month of birth (0 when unknown), enrolment.
CREATE TABLE member_fact (
    member_id text NOT NULL,
    birth_month smallint NOT NULL,
    enrol_time timestamptz,
    CONSTRAINT member_fact_pkey PRIMARY KEY (member_id)
);

-- Benefits that members hold, by their id in the program: what a coefficient calls a card. Kept by events.
CREATE TABLE member_card (
    member_id text NOT NULL,
    entitlement_id uuid NOT NULL,
    card text NOT NULL,
    grant_time timestamptz NOT NULL,
    expire_time timestamptz,
    used_time timestamptz,
    CONSTRAINT member_card_pkey PRIMARY KEY (member_id, entitlement_id)
);

GRANT SELECT, INSERT, UPDATE ON progress, team, team_progress, team_bonus, member_fact, member_card TO {role};
GRANT SELECT, INSERT, DELETE ON team_member TO {role};
