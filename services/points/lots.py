"""Lots that become active and lots that end."""

from datetime import timedelta

from points.book import Book
from points.posting import Desk, move, next_due, post
from points.values import Account, Kind, LotState, Posted, Posting

MOMENT = timedelta(microseconds=1)


def expire_lot(lot: LotState, book: Book, desk: Desk) -> Posted:
    """Books what is left of a lot as expired."""
    account = book.account(lot.member_id)
    points = lot.remaining
    source = Account.PENDING if lot.pending else Account.ACTIVE
    if lot.pending:
        account.pending -= points
    else:
        account.active -= points
    lot.expired += points
    lot.due_time = None
    drawn = move(book, lot, -points)
    posting = Posting(source, Account.EXPIRED, points)
    assert lot.expire_time is not None
    last = (lot.expire_time - MOMENT).astimezone(desk.program.zone)
    reason = f"earned points end with {last:%Y-%m-%d}"
    if lot.lot_id in book.extensions:
        reason += f", moved by {book.extensions[lot.lot_id]} while the account was frozen"
    explanation = {"lines": [["expiry", True, "", str(-points), reason]]}
    return post(
        book, desk, account, Kind.EXPIRY, [posting], [drawn], occurred_time=lot.expire_time,
        explanation=explanation,
    )  # fmt: skip


def expire_elsewhere(points: int, source: LotState, book: Book) -> None:
    """Notes that points that came out of a lot have expired in the account that they went to: a
    return of what had earned them does not ask for them.
    """
    source.expired += points
    book.change_lot(source)


def mature_lot(lot: LotState, book: Book, desk: Desk) -> Posted:
    """Turns a pending lot active."""
    account = book.account(lot.member_id)
    account.pending -= lot.remaining
    account.active += lot.remaining
    lot.pending = False
    lot.due_time = next_due(False, None, lot.expire_time, desk.program)
    book.change_lot(lot)
    posting = Posting(Account.PENDING, Account.ACTIVE, lot.remaining)
    explanation = {"lines": [["maturation", True, "", "0", "the return window has ended"]]}
    return post(
        book, desk, account, Kind.MATURATION, [posting], [], occurred_time=lot.mature_time,
        explanation=explanation,
    )  # fmt: skip
