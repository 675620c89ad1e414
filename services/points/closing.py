"""What becomes of the points of an account that is closed: they are forfeited."""

from points.book import Book
from points.counter_errors import HoldsOpen
from points.posting import Desk, move, post
from points.standing import check_may_earn
from points.values import Account, AccountState, Kind, LotMove, LotState, Posted, Posting


def close(
    account: AccountState, lots: list[LotState], request_id: str, book: Book, desk: Desk
) -> Posted | None:
    """Forfeits all points and gives a debt up; None where there was neither.

    Raises HoldsOpen while points are held, and what the state of the account forbids.
    """
    check_may_earn(account)
    if account.held:
        raise HoldsOpen(member_id=account.member_id, held=account.held)
    postings = [
        Posting(source, target, points)
        for source, target, points in (
            (Account.ACTIVE, Account.FORFEITED, account.active),
            (Account.PENDING, Account.FORFEITED, account.pending),
            (Account.WRITTEN_OFF, Account.DEBT, account.debt),
        )
        if points
    ]
    if not postings:
        return None
    moves = [move(book, lot, -lot.remaining) for lot in lots]
    lines = [
        ["closure", True, "", str(-account.active - account.pending), "the account was closed"],
        ["debt_given_up", bool(account.debt), "", str(account.debt), "what was owed"],
    ]
    account.active = account.pending = account.debt = 0
    return post(
        book, desk, account, Kind.CLOSURE, postings, moves, request_id=request_id,
        explanation={"lines": lines},
    )  # fmt: skip


def forfeit_refund(
    account: AccountState, restored: list[LotMove], book: Book
) -> tuple[Posting, list[LotMove]]:
    """What a refund brought back to a closed account is forfeited by the same transaction."""
    points = sum(one.points for one in restored)
    moves = [move(book, book.lot(one.lot_id), -one.points) for one in restored]
    account.active -= points
    return Posting(Account.ACTIVE, Account.FORFEITED, points), moves
