-- Runs in the schema of every service.

-- Texts that came as one, each behind the separator, which is the first character: kit.db.packed_texts makes such a text. To send an array
-- of texts costs many times as much.
CREATE FUNCTION split_texts(packed text) RETURNS text[] LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN (string_to_array(packed, left(packed, 1)))[2:];
