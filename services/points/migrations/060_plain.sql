-- Raised where a plain accrual meets an account that is not plain: the statement that books a batch of them is undone as a whole.
CREATE FUNCTION not_plain(member text) RETURNS bigint
LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    RAISE EXCEPTION 'the account of % owes something or is not open', member
    USING ERRCODE = 'check_violation', CONSTRAINT = 'account_is_plain', TABLE = 'account';
END $$;
