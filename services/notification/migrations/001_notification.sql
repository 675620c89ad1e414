-- What members were told. The text is kept as it was sent; addresses are not kept at all.
CREATE TABLE message (
    member_id text NOT NULL,
    -- A UUID of version 7: the newest message has the highest id.
    message_id uuid NOT NULL,
    rule text NOT NULL,
    subject text NOT NULL,
    body text NOT NULL,
    create_time timestamptz NOT NULL,
    cause_event_id uuid,
    program_version integer NOT NULL,
    CONSTRAINT message_pkey PRIMARY KEY (member_id, message_id),
    -- One message for each cause and rule; messages without a cause are unlike each other.
    CONSTRAINT message_cause UNIQUE (member_id, cause_event_id, rule),
    CONSTRAINT message_origin CHECK (
        (cause_event_id IS NOT NULL) = (rule <> '' AND program_version > 0)
    )
);

-- What became of a message, for each channel.
CREATE TABLE delivery (
    member_id text NOT NULL,
    message_id uuid NOT NULL,
    channel text NOT NULL,
    state text NOT NULL,
    attempt_count smallint NOT NULL DEFAULT 0,
    -- When it may be tried next; while an attempt runs, when that one is given up for lost.
    next_attempt_time timestamptz,
    deliver_time timestamptz,
    -- Why it was skipped or failed, or what the last attempt ran into; never with an address in it.
    reason text NOT NULL DEFAULT '',
    CONSTRAINT delivery_pkey PRIMARY KEY (member_id, message_id, channel),
    CONSTRAINT delivery_message FOREIGN KEY (member_id, message_id)
    REFERENCES message (member_id, message_id),
    CONSTRAINT delivery_channel CHECK (channel IN ('INBOX', 'EMAIL')),
    CONSTRAINT delivery_state CHECK (state IN ('PENDING', 'DELIVERED', 'SKIPPED', 'FAILED')),
    CONSTRAINT delivery_attempts CHECK (attempt_count BETWEEN 0 AND 8),
    CONSTRAINT delivery_next CHECK ((next_attempt_time IS NOT NULL) = (state = 'PENDING')),
    CONSTRAINT delivery_time CHECK ((deliver_time IS NOT NULL) = (state = 'DELIVERED')),
    CONSTRAINT delivery_reason CHECK (state NOT IN ('SKIPPED', 'FAILED') OR reason <> '')
);
CREATE INDEX delivery_due ON delivery (next_attempt_time) WHERE state = 'PENDING';

GRANT SELECT, INSERT ON message TO {role};
GRANT SELECT, INSERT,
UPDATE (state, attempt_count, next_attempt_time, deliver_time, reason) ON delivery TO {role};
