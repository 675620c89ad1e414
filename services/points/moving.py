"""Points that move from the lots of one account to those of another, pure but for the book.

What moves keeps its expiry and the accrual it stems from, and names the lot that it came from.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from points.book import Book
from points.errors import InsufficientPoints
from points.posting import Desk, move, next_due, post
from points.values import (
    Account,
    AccountState,
    Kind,
    LotMove,
    LotOrigin,
    LotState,
    Posted,
    Posting,
)


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


class Amounts(NamedTuple):
    """Points of each of a member's accounts that move."""

    active: int
    pending: int = 0
    held: int = 0
    debt: int = 0


@dataclass(frozen=True, slots=True)
class Pair:
    """What is said of two transactions that name each other; one of them answers the request."""

    kinds: tuple[Kind, Kind]
    left_id: UUID
    arrived_id: UUID
    rule: str
    left_reason: str
    arrived_reason: str
    left_request_id: str | None = None
    arrived_request_id: str | None = None


def post_pair(
    source: AccountState,
    target: AccountState,
    amounts: Amounts,
    leaving: list[LotMove],
    arrived: Arrived,
    pair: Pair,
    book: Book,
    desk: Desk,
) -> tuple[Posted, Posted]:
    """Books points that went from one account to another, with both balances as they then stand."""
    for account, sign in ((source, -1), (target, 1)):
        account.active += sign * amounts.active
        account.pending += sign * amounts.pending
        account.held += sign * amounts.held
        account.debt += sign * amounts.debt
    points = amounts.active + amounts.pending - amounts.debt
    gone = [pair.rule, True, "", str(-points), pair.left_reason]
    come = [pair.rule, True, "", str(points), pair.arrived_reason]
    version = desk.program.version
    left = post(
        book, desk, source, pair.kinds[0], _postings_out(amounts), leaving,
        transaction_id=pair.left_id, program_version=version, request_id=pair.left_request_id,
        explanation=explain((target.member_id, pair.arrived_id), [gone]),
    )  # fmt: skip
    came = post(
        book, desk, target, pair.kinds[1], _postings_in(amounts), arrived.moves,
        transaction_id=pair.arrived_id, program_version=version, request_id=pair.arrived_request_id,
        explanation=explain((source.member_id, pair.left_id), [come], arrived.origins),
    )  # fmt: skip
    return left, came


def _postings_out(amounts: Amounts) -> list[Posting]:
    away = Account.TRANSFERRED_OUT
    postings = [
        Posting(Account.ACTIVE, away, amounts.active),
        Posting(Account.PENDING, away, amounts.pending),
        Posting(Account.HELD, away, amounts.held),
        Posting(away, Account.DEBT, amounts.debt),
    ]
    return [posting for posting in postings if posting.points]


def _postings_in(amounts: Amounts) -> list[Posting]:
    here = Account.TRANSFERRED_IN
    postings = [
        Posting(here, Account.ACTIVE, amounts.active),
        Posting(here, Account.PENDING, amounts.pending),
        Posting(here, Account.HELD, amounts.held),
        Posting(Account.DEBT, here, amounts.debt),
    ]
    return [posting for posting in postings if posting.points]


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
