-- Until when a delivery is of use; NULL for ever. What could not be handed over by then is given up.
ALTER TABLE delivery ADD COLUMN expire_time timestamptz;
