"""Points given or taken by hand: what one operator may do alone, what needs another one."""

from dataclasses import dataclass, replace
from datetime import datetime
from enum import IntEnum
from uuid import UUID

from points import counter_errors as errors
from points.book import Book
from points.moving import draw, first_to_expire
from points.posting import Desk, next_due, post
from points.standing import check_may_spend
from points.values import Account, Kind, LotMove, LotState, Operator, Posted, Posting
from rules import expiry
from rules.compiled import CompiledProgram


class AdjustmentState(IntEnum):
    """Where an adjustment stands; numbers as in the contract."""

    PENDING_APPROVAL = 1
    BOOKED = 2
    REJECTED = 3


@dataclass(frozen=True, slots=True)
class Adjustment:
    """Points that an operator gives, or takes where negative."""

    member_id: str
    adjustment_id: UUID
    points: int
    state: AdjustmentState
    operator: str
    identity: str
    reason: str
    create_time: datetime
    decider: str | None = None
    decider_identity: str | None = None
    decision_reason: str | None = None
    decide_time: datetime | None = None
    transaction_id: UUID | None = None


def needs_approval(points: int, program: CompiledProgram) -> bool:
    """Whether that many points are more than one operator may give or take alone."""
    return abs(points) > program.adjustments.alone_points_max


def check_decidable(adjustment: Adjustment, operator: Operator, *, approving: bool) -> None:
    """Raises AdjustmentNotPending, or SameOperator where the asker approves."""
    if adjustment.state is not AdjustmentState.PENDING_APPROVAL:
        raise errors.AdjustmentNotPending(
            adjustment_id=adjustment.adjustment_id, state=adjustment.state.name.lower()
        )
    if approving and _person(operator.name) == _person(adjustment.operator):
        raise errors.SameOperator(operator=operator.name)


def _person(name: str) -> str:
    return name.strip().casefold()


def decided(
    adjustment: Adjustment,
    state: AdjustmentState,
    operator: Operator,
    now: datetime,
    posted: Posted | None = None,
) -> Adjustment:
    """The adjustment after another operator has decided."""
    return replace(
        adjustment, state=state, decider=operator.name, decider_identity=operator.identity,
        decision_reason=operator.reason, decide_time=now,
        transaction_id=posted.transaction_id if posted else None,
    )  # fmt: skip


def book_adjustment(adjustment: Adjustment, request_id: str, book: Book, desk: Desk) -> Posted:
    """Gives points with the expiry of points earned now, or takes those that expire first.

    Raises InsufficientPoints, and what the state of the account forbids. A debt is left as it is:
    accruals pay it.
    """
    account = book.account(adjustment.member_id)
    check_may_spend(account)
    transaction_id, points = desk.new_id(), adjustment.points
    if points < 0:
        moves = draw(first_to_expire(account, -points, desk.now, book), book)
        posting = Posting(Account.ACTIVE, Account.ADJUSTED, -points)
    else:
        moves = [_open_lot(adjustment, transaction_id, book, desk)]
        posting = Posting(Account.ADJUSTED, Account.ACTIVE, points)
    account.active += points
    line = ["adjustment", True, "", str(points), adjustment.reason]
    return post(
        book, desk, account, Kind.ADJUSTMENT, [posting], moves, transaction_id=transaction_id,
        program_version=desk.program.version, request_id=request_id,
        explanation={"lines": [line], "adjustment": str(adjustment.adjustment_id)},
    )  # fmt: skip


def _open_lot(adjustment: Adjustment, transaction_id: UUID, book: Book, desk: Desk) -> LotMove:
    points, program = adjustment.points, desk.program
    expire = expiry.expire_time(desk.now, program)
    lot = LotState(
        adjustment.member_id, transaction_id, transaction_id, False, points, points, 0, None,
        expire, next_due(False, None, expire, program),
    )  # fmt: skip
    book.add_new_lot(lot)
    return LotMove(lot.lot_id, points, expire, transaction_id)
