-- A lot that was opened in place of another one of its account, as that one would have ended too soon for what a refund gave back. Lots of
-- before have no row here.
CREATE TABLE lot_replacement (
    member_id text NOT NULL,
    lot_id uuid NOT NULL,
    replaced_lot_id uuid NOT NULL,
    CONSTRAINT lot_replacement_pkey PRIMARY KEY (member_id, lot_id),
    CONSTRAINT lot_replacement_lots_check CHECK (lot_id <> replaced_lot_id)
);
CREATE INDEX lot_replacement_replaced ON lot_replacement (member_id, replaced_lot_id);
GRANT SELECT, INSERT ON lot_replacement TO {role};
