"""Points that move from the lots of one account to those of another, pure but for the book.

What moves keeps its expiry and the accrual it stems from, and names the lot that it came from.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from points.book import Book
from points.errors import InsufficientPoints
from points.posting import Desk, move, next_due
from points.values import AccountState, LotMove, LotOrigin, LotState


class Part(NamedTuple):
    """Points of a lot."""

    lot: LotState
    points: int


class Arrived(NamedTuple):
    """What reached an account: movements of its lots, and where each lot came from."""

    moves: list[LotMove]
    origins: list[LotOrigin]


def first_to_expire(account: AccountState, points: int, at: datetime, book: Book) -> list[Part]:
    """So many points of an account, of the lots that are spent first. Raises InsufficientPoints."""
    lots = book.spendable_lots(account.member_id, at)
    available = min(account.active, sum(lot.remaining for lot in lots))
    if available < points:
        raise InsufficientPoints(asked=points, available=available)
    parts, left = [], points
    for lot in lots:
        taken = min(lot.remaining, left)
        parts.append(Part(lot, taken))
        left -= taken
        if not left:
            break
    return parts


def split(parts: Iterable[Part], points: int) -> tuple[list[Part], list[Part]]:
    """The first so many points of some parts, and the rest of them."""
    head, tail = [], []
    for lot, size in parts:
        first = min(size, points)
        points -= first
        if first:
            head.append(Part(lot, first))
        if size > first:
            tail.append(Part(lot, size - first))
    return head, tail


def draw(parts: Iterable[Part], book: Book) -> list[LotMove]:
    """Takes points out of their lots."""
    return [move(book, part.lot, -part.points) for part in parts]


def hand_over(
    parts: Iterable[Part], member_id: str, transaction_id: UUID, book: Book, desk: Desk
) -> Arrived:
    """Opens a lot of another member for each part, with its expiry and its accrual."""
    arrived = Arrived([], [])
    for source, points in parts:
        due = next_due(source.pending, source.mature_time, source.expire_time, desk.program)
        lot = LotState(
            member_id, desk.new_id(), source.transaction_id, source.pending, points, points, 0,
            source.mature_time, source.expire_time, due,
        )  # fmt: skip
        book.add_new_lot(lot)
        arrived.moves.append(LotMove(lot.lot_id, points, lot.expire_time, lot.transaction_id))
        arrived.origins.append(
            LotOrigin(member_id, lot.lot_id, source.member_id, source.lot_id, transaction_id)
        )
    return arrived


def explain(
    counterpart: tuple[str, UUID | None],
    lines: Sequence[Sequence[object]],
    origins: Iterable[LotOrigin] = (),
    **more: object,
) -> dict[str, Any]:
    """The explanation of a transaction that has another member's on its other side."""
    explanation: dict[str, Any] = {
        "counterpart": [counterpart[0], str(counterpart[1] or "")],
        "lines": [list(line) for line in lines],
        **more,
    }
    named = {str(o.lot_id): [o.source_member_id, str(o.source_lot_id)] for o in origins}
    if named:
        explanation["origins"] = named
    return explanation
