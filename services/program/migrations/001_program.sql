-- The versions of the program. Only ever added: the service's role may neither change nor delete one.
CREATE TABLE program_version (
    version integer NOT NULL,
    source_yaml text NOT NULL,
    -- laurel.program.v1.Program, serialised: the document as it was understood when it was applied.
    program bytea NOT NULL,
    author text NOT NULL,
    reason text NOT NULL,
    create_time timestamptz NOT NULL,
    effective_time timestamptz NOT NULL,
    CONSTRAINT program_version_pkey PRIMARY KEY (version),
    CONSTRAINT program_version_positive CHECK (version > 0),
    CONSTRAINT program_version_author CHECK (author <> '')
);

GRANT SELECT, INSERT ON program_version TO {role};
