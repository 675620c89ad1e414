"""Debts that end: what is still owed of one when its time comes is written off (PT-09)."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from points.book import Book
from points.posting import Desk, post
from points.values import Account, Debt, Kind, Posted, Posting


@dataclass(frozen=True, slots=True)
class OpenDebt:
    """A debt that stands, of whoever owes it now, less what is known to be repaid of it."""

    debt: Debt
    booked_member_id: str
    """Whose return made it: another member's, who was merged since."""
    due_time: datetime | None


def left_of(debt: Debt, later: Sequence[Debt], owed: int) -> int:
    """What is left of a debt, where so much is owed in all: repayments go to the oldest first."""
    return max(0, min(debt.points, owed - sum(other.points for other in later)))


def write_off(debt: Debt, later: Sequence[Debt], book: Book, desk: Desk) -> Posted | None:
    """Gives up what is left of a debt; None where nothing is. `later` are the member's debts that
    were made after it and still stand.
    """
    account = book.account(debt.member_id)
    points = left_of(debt, later, account.debt)
    if not points:
        return None
    account.debt -= points
    reason = "the time of the debt has come: it is given up"
    return post(
        book, desk, account, Kind.DEBT_WRITE_OFF,
        [Posting(Account.WRITTEN_OFF, Account.DEBT, points)], [],
        reversed_transaction_id=debt.transaction_id, occurred_time=debt.expire_time,
        explanation={"lines": [["debt_write_off", True, "", str(points), reason]]},
    )  # fmt: skip
