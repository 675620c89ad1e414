-- What anti-fraud forbids an account, beside what operators do: 0 nothing, 1 earn only, 2 frozen. And since when it is frozen by
-- anti-fraud: points that would end after that do not, until it is lifted.
ALTER TABLE account ADD COLUMN restriction smallint NOT NULL DEFAULT 0;
ALTER TABLE account ADD COLUMN frozen_time timestamptz;
ALTER TABLE account ADD CONSTRAINT account_frozen_since CHECK ((restriction = 2) = (frozen_time IS NOT NULL)) NOT VALID;

-- The actions of anti-fraud on accounts, as heard of. One that was lifted before it was heard to be taken has no take_time.
CREATE TABLE antifraud_action (
    member_id text NOT NULL,
    action_id uuid NOT NULL,
    -- 1 freeze, 2 earn only
    kind smallint NOT NULL,
    take_time timestamptz,
    lift_time timestamptz,
    CONSTRAINT antifraud_action_pkey PRIMARY KEY (member_id, action_id),
    CONSTRAINT antifraud_action_kind_known CHECK (kind BETWEEN 1 AND 2),
    CONSTRAINT antifraud_action_is_heard CHECK (take_time IS NOT NULL OR lift_time IS NOT NULL)
);

-- Lots whose end was moved when the account was not frozen by anti-fraud any more. Never changed.
CREATE TABLE lot_extension (
    member_id text NOT NULL,
    lot_id uuid NOT NULL,
    -- The action whose lifting it was.
    action_id uuid NOT NULL,
    from_time timestamptz NOT NULL,
    to_time timestamptz NOT NULL,
    CONSTRAINT lot_extension_pkey PRIMARY KEY (member_id, lot_id, action_id),
    CONSTRAINT lot_extension_is_longer CHECK (to_time > from_time)
);
GRANT SELECT, INSERT, UPDATE ON antifraud_action TO {role};
GRANT SELECT, INSERT ON lot_extension TO {role};
