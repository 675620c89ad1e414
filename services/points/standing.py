"""Whether an account may do what is asked of it.

A frozen account earns and settles what was begun; it spends nothing. Nor does one that anti-fraud
has frozen or lets earn only, whatever operators decide: neither lifts what the other did. A closed
one only settles: its holds have ended before, what is refunded to it is forfeited, a return becomes
a debt. A merged one takes no part any more; whoever it was merged into does. A pool belongs to a
household and moves by the calls of households alone.
"""

from enum import IntEnum

from points import errors
from points.counter_errors import AccountNotFrozen, FrozenByAntifraud
from points.values import AccountState, Standing


class Restriction(IntEnum):
    """What anti-fraud forbids an account; numbers as in the table, the strictest last."""

    NONE = 0
    EARN_ONLY = 1
    FROZEN = 2


def check_may_earn(account: AccountState) -> None:
    """Raises AccountClosed, AccountMerged or AccountIsPool."""
    if account.state > Standing.FROZEN:
        _refuse(account)


def check_may_spend(account: AccountState) -> None:
    """Raises AccountFrozen, AccountEarnOnly, AccountClosed, AccountMerged or AccountIsPool."""
    check_open(account)
    if account.restriction == Restriction.FROZEN:
        raise errors.AccountFrozen(member_id=account.member_id)
    if account.restriction == Restriction.EARN_ONLY:
        raise errors.AccountEarnOnly(member_id=account.member_id)


def check_open(account: AccountState) -> None:
    """As operators see it: raises AccountFrozen, AccountClosed, AccountMerged or AccountIsPool."""
    if account.state:
        _refuse(account)


def check_not_merged(account: AccountState) -> None:
    """Raises AccountMerged."""
    if account.state == Standing.MERGED:
        _refuse(account)


def check_frozen(account: AccountState) -> None:
    """Raises AccountNotFrozen, FrozenByAntifraud, AccountClosed, AccountMerged or AccountIsPool."""
    if account.state == Standing.OPEN:
        if account.restriction == Restriction.FROZEN:
            raise FrozenByAntifraud(member_id=account.member_id)
        raise AccountNotFrozen(member_id=account.member_id)
    check_may_earn(account)


def _refuse(account: AccountState) -> None:
    member_id = account.member_id
    match Standing(account.state):
        case Standing.FROZEN:
            raise errors.AccountFrozen(member_id=member_id)
        case Standing.CLOSED:
            raise errors.AccountClosed(member_id=member_id)
        case Standing.MERGED:
            raise errors.AccountMerged(member_id=member_id, survivor_member_id=account.merged_into)
        case Standing.POOL:
            raise errors.AccountIsPool(member_id=member_id)
        case Standing.OPEN:
            pass
