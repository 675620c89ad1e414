"""Points from another system: what a row of an import does to the ledger."""

from dataclasses import dataclass
from datetime import datetime

from points import errors
from points.book import Book
from points.posting import Desk, move, next_due, post
from points.standing import check_may_earn
from points.values import Account, Kind, LotMove, LotState, Posted, Posting, Request
from rules.compiled import CompiledProgram


@dataclass(frozen=True, slots=True)
class Import(Request):
    """Book points that were had elsewhere; points that were lost there are negative."""

    member_id: str
    points: int
    occurred_time: datetime
    expire_time: datetime | None
    reference: str
    description: str
    program: CompiledProgram
    must_live: bool
    """Whether points that have expired by now are refused: a balance cannot hold such."""


def bring(command: Import, book: Book, desk: Desk) -> Posted:
    """Points against the account of partners: a lot with its own end, or drawn from lots, those
    that expire first.

    Raises what the state of the account forbids, PointsExpired or InsufficientPoints.
    """
    account = book.account(command.member_id)
    check_may_earn(account)
    transaction_id = desk.new_id()
    if command.points > 0:
        expire, points = command.expire_time, command.points
        if command.must_live and expire is not None and expire <= desk.now:
            raise errors.PointsExpired(expire_time=expire.isoformat(), now=desk.now.isoformat())
        due = next_due(False, None, expire, command.program)
        book.add_new_lot(
            LotState(
                command.member_id, transaction_id, transaction_id, False, points, points, 0, None,
                expire, due,
            )
        )  # fmt: skip
        moves = [LotMove(transaction_id, points, expire, transaction_id)]
        posting = Posting(Account.PARTNER, Account.ACTIVE, points)
    else:
        moves = _draw(command, book)
        posting = Posting(Account.ACTIVE, Account.PARTNER, -command.points)
    account.active += command.points
    reason = command.description or "brought from another system"
    return post(
        book, desk, account, Kind.IMPORT, [posting], moves, transaction_id=transaction_id,
        program_version=command.program.version, request_id=command.request_id,
        order_id=command.reference or None, occurred_time=command.occurred_time,
        explanation={"lines": [["import", True, "", str(command.points), reason]]},
    )  # fmt: skip


def _draw(command: Import, book: Book) -> list[LotMove]:
    # Expired or not: in the other system they were spent before.
    lots, left = book.active_lots(command.member_id), -command.points
    available = sum(lot.remaining for lot in lots)
    if available < left:
        raise errors.InsufficientPoints(asked=left, available=available)
    moves = []
    for lot in lots:
        taken = min(lot.remaining, left)
        if taken:
            moves.append(move(book, lot, -taken))
            left -= taken
    return moves
