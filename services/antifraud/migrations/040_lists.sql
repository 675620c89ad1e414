-- What is known of members, devices, addresses, cards and stores.
CREATE TABLE list_entry (
    -- 1 member, 2 device, 3 ip, 4 card, 5 store; laurel.program.v1.FraudKey
    key_kind smallint NOT NULL,
    value text COLLATE "C" NOT NULL,
    -- 1 allow, 2 deny, 3 watch; laurel.antifraud.v1.ListKind
    list smallint NOT NULL,
    -- The action that put it there; all zeros for what operators put there, so that neither replaces the other.
    action_id uuid NOT NULL,
    -- NULL for never
    expire_time timestamptz,
    reason text NOT NULL,
    -- Empty where a rule put it there.
    operator text NOT NULL,
    identity text NOT NULL,
    create_time timestamptz NOT NULL,
    CONSTRAINT list_entry_pkey PRIMARY KEY (key_kind, value, list, action_id),
    CONSTRAINT list_entry_key_kind_known CHECK (key_kind BETWEEN 1 AND 5),
    CONSTRAINT list_entry_list_known CHECK (list BETWEEN 1 AND 3)
);
CREATE INDEX list_entry_expiring ON list_entry (expire_time) WHERE expire_time IS NOT NULL;
GRANT SELECT, INSERT, UPDATE, DELETE ON list_entry TO {role};
