-- Cases that were decided and whose assessments are not all labelled and told of yet: they are taken up in steps, in the order of their ids.
CREATE TABLE case_untold (
    case_id uuid NOT NULL,
    -- The last one that was.
    after_id uuid NOT NULL,
    CONSTRAINT case_untold_pkey PRIMARY KEY (case_id),
    CONSTRAINT case_untold_case_id_fkey FOREIGN KEY (case_id) REFERENCES fraud_case (case_id)
);
GRANT SELECT, INSERT, UPDATE, DELETE ON case_untold TO {role};
