"""Two accounts that become one, and two again; pure but for the book."""

from collections.abc import Iterable
from dataclasses import dataclass
from uuid import UUID

from points.book import Book
from points.lots import expire_elsewhere
from points.moving import Amounts, Arrived, Pair, Part, draw, hand_over, post_pair
from points.posting import Desk, move, next_due
from points.standing import check_may_earn
from points.values import AccountState, Kind, LotMove, LotOrigin, LotState, Posted, Replacement


@dataclass(frozen=True, slots=True)
class Moved:
    """What went from one account to another."""

    left: Posted
    arrived: Posted
    origins: list[LotOrigin]
    amounts: Amounts
    lots: dict[UUID, UUID]
    """By lot that was left, the lot that took its place."""


def take_over(
    source: AccountState, target: AccountState, lots: Iterable[LotState], pair: Pair, book: Book,
    desk: Desk,
) -> Moved:  # fmt: skip
    """Moves all that an account has: points, debt, and what its holds have set aside.

    `lots` are those with points and those that holds may give back to. Each becomes a lot of the
    target, with its expiry, its accrual and room for what may come back.
    """
    amounts = Amounts(source.active, source.pending, source.held, source.debt)
    arrived, replaced, parts = Arrived([], []), {}, []
    for lot in lots:
        one = hand_over([Part(lot, lot.remaining)], target.member_id, pair.arrived_id, book, desk)
        copied = book.lot(one.origins[0].lot_id)
        copied.points = lot.points - lot.expired
        replaced[lot.lot_id] = copied.lot_id
        arrived.origins.extend(one.origins)
        if lot.remaining:
            arrived.moves.extend(one.moves)
            parts.append(Part(lot, lot.remaining))
    leaving = draw(parts, book)
    left, came = post_pair(source, target, amounts, leaving, arrived, pair, book, desk)
    return Moved(left, came, arrived.origins, amounts, replaced)


def merge(
    merged: AccountState, survivor: AccountState, lots: Iterable[LotState], request_id: str,
    book: Book, desk: Desk,
) -> Moved:  # fmt: skip
    """Moves all of an account into another; both are open."""
    pair = Pair(
        (Kind.MERGE_OUT, Kind.MERGE_IN), desk.new_id(), desk.new_id(), "merge",
        f"merged into {survivor.member_id}", f"{merged.member_id} was merged",
        arrived_request_id=request_id,
    )  # fmt: skip
    return take_over(merged, survivor, lots, pair, book, desk)


@dataclass(frozen=True, slots=True)
class Parts:
    """What an account has of another one's points, as it is now."""

    copies: list[tuple[LotState, LotState]]
    """Its lots, with the lots that they came out of."""
    restored: list[tuple[LotState, LotState | None]]
    """Lots that refunds have opened in place of such lots since, with the same; None where that was
    not written down.
    """
    held: int = 0
    """Points still held by the holds that came with them."""
    debt: int = 0
    """Debt that came with them."""


def undo(
    survivor: AccountState, merged: AccountState, parts: Parts, request_id: str, book: Book,
    desk: Desk,
) -> Moved:  # fmt: skip
    """Gives back what is left of what a merge had brought.

    What was spent, given away or has expired since stays as it is, and what the survivor has set
    aside of these lots stays set aside. That points have expired is known of the merged account's
    lots from then on, for returns. Of the debt goes back what the survivor still owes of it: what
    was repaid since was the survivor's own debt first.
    Raises AccountClosed or AccountMerged of the survivor.
    """
    check_may_earn(survivor)
    pair = Pair(
        (Kind.MERGE_OUT, Kind.MERGE_IN), desk.new_id(), desk.new_id(), "undo_merge",
        f"the merge of {merged.member_id} was undone",
        f"the merge into {survivor.member_id} was undone", left_request_id=request_id,
    )  # fmt: skip
    for lot, original in (*parts.copies, *parts.restored):
        if lot.expired and original is not None:
            # There alone, or another merge would have it counted twice.
            expire_elsewhere(lot.expired, original, book)
            lot.expired = 0
            book.change_lot(lot)
    return give_back(survivor, merged, parts, pair, book, desk)


def give_back(
    source: AccountState, target: AccountState, parts: Parts, pair: Pair, book: Book, desk: Desk
) -> Moved:
    """Moves what is left of each lot to the very lot that it came out of."""
    arrived, leaving = Arrived([], []), []
    sums = {False: 0, True: 0}
    for lot, original in parts.copies:
        if points := lot.remaining:
            sums[lot.pending] += points
            leaving.append(move(book, lot, -points))
            arrived.moves.append(_put_back(lot, original, points, book, desk))
    for lot, replaced in parts.restored:
        if lot.remaining:
            sums[lot.pending] += lot.remaining
            fresh = _hand_back(lot, replaced, target.member_id, pair, book, desk)
            leaving += draw([Part(lot, lot.remaining)], book)
            arrived.moves.extend(fresh.moves)
            arrived.origins.extend(fresh.origins)
    amounts = Amounts(sums[False], sums[True], parts.held, min(parts.debt, source.debt))
    left, came = post_pair(source, target, amounts, leaving, arrived, pair, book, desk)
    lots = {lot.lot_id: original.lot_id for lot, original in parts.copies}
    return Moved(left, came, arrived.origins, amounts, lots)


def _hand_back(
    lot: LotState, replaced: LotState | None, member_id: str, pair: Pair, book: Book, desk: Desk
) -> Arrived:
    """Opens a lot for what is left of one that a refund had opened, in place of the member's own
    lot that it stems from.
    """
    part = Part(lot, lot.remaining)
    fresh = hand_over([part], member_id, pair.arrived_id, book, desk)
    if replaced is not None:
        lot_id = fresh.origins[0].lot_id
        book.replacements.append(Replacement(member_id, lot_id, replaced.lot_id))
    return fresh


def _put_back(lot: LotState, original: LotState, points: int, book: Book, desk: Desk) -> LotMove:
    original.pending, original.mature_time = lot.pending, lot.mature_time
    back = move(book, original, points)
    original.due_time = next_due(lot.pending, lot.mature_time, original.expire_time, desk.program)
    return back
