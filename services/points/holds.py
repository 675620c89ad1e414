"""Points set aside, spent, released and given back."""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from points import errors, promotions
from points.book import Book
from points.closing import forfeit_refund
from points.posting import Desk, move, next_due, post, post_hold
from points.standing import check_may_spend
from points.values import (
    Account,
    AccountState,
    Capture,
    Hold,
    HoldLot,
    HoldRecord,
    HoldState,
    Kind,
    LotMove,
    LotState,
    Posted,
    Posting,
    Redeem,
    Refund,
    Release,
    Replacement,
    Standing,
)
from rules import expiry
from rules.compiled import CompiledProgram
from rules.redemption import points_max


def hold(command: Hold, assessment_id: str, book: Book, desk: Desk) -> Posted:
    """Sets active points aside, those that expire first."""
    check_may_spend(book.account(command.member_id))
    return set_aside(command, {"assessment": assessment_id}, book, desk)


def set_aside(command: Hold, explanation: dict[str, Any], book: Book, desk: Desk) -> Posted:
    """Sets active points aside, whatever the state of the account.

    Raises InsufficientPoints, PointsAboveShare or PointsValueChanged.
    """
    expire = desk.now + timedelta(minutes=command.program.redemption.hold_minutes)
    record, moves = _draw(command, expire, book, desk)
    account = book.account(command.member_id)
    account.active -= command.points
    account.held += command.points
    posting = Posting(Account.ACTIVE, Account.HELD, command.points)
    return post(
        book, desk, account, Kind.HOLD, [posting], moves, program_version=command.program.version,
        request_id=command.request_id, order_id=command.order_id, hold=record,
        occurred_time=command.occurred_time, explanation=explanation,
    )  # fmt: skip


def redeem(command: Redeem, assessment_id: str, book: Book, desk: Desk) -> Posted:
    """Spends active points at once: a hold that is captured whole as it is made, so that a refund
    finds the very lots.
    """
    account = book.account(command.member_id)
    check_may_spend(account)
    record, moves = _draw(command, desk.now, book, desk)
    for part in record.lots:
        part.captured = part.points
    record.captured, record.state = record.points, HoldState.CLOSED
    account.active -= command.points
    posting = Posting(Account.ACTIVE, Account.REDEEMED, command.points)
    return post(
        book, desk, account, Kind.REDEMPTION, [posting], moves,
        program_version=command.program.version, request_id=command.request_id,
        order_id=command.order_id, hold=record, occurred_time=command.occurred_time,
        explanation={"assessment": assessment_id},
    )  # fmt: skip


def _draw(
    command: Hold, expire: datetime, book: Book, desk: Desk
) -> tuple[HoldRecord, list[LotMove]]:
    """Takes points from the lots that expire first.

    Raises InsufficientPoints, PointsAboveShare or PointsValueChanged.
    """
    account = book.account(command.member_id)
    lots = book.spendable_lots(command.member_id, command.occurred_time)
    available = min(account.active, sum(lot.remaining for lot in lots))
    if available < command.points:
        raise errors.InsufficientPoints(asked=command.points, available=available)
    boost = promotions.boost_for(command, book)
    record = HoldRecord(
        command.member_id, desk.new_id(), command.points, 0, 0, 0, HoldState.OPEN, command.order_id,
        command.program.version, expire, desk.now,
    )  # fmt: skip
    promotions.mark(record, command, boost, book)
    moves, left = [], command.points
    for lot in lots:
        drawn = min(lot.remaining, left)
        record.lots.append(HoldLot(len(record.lots), lot.lot_id, drawn))
        moves.append(move(book, lot, -drawn))
        left -= drawn
        if not left:
            break
    book.holds[record.hold_id] = record
    return record, moves


def check_redemption(command: Hold) -> None:
    """Raises PointsBelowMinimum, PointsOffStep or PointsAboveShare where the program does not allow
    so few or so many points. Of the share it asks what holds whatever the points are worth: what
    a promotion window adds is known under the lock only.
    """
    points_min = command.program.redemption.points_min
    if command.points < points_min:
        raise errors.PointsBelowMinimum(points=command.points, points_min=points_min)
    points_step = command.program.redemption.points_step
    if command.points % points_step:
        raise errors.PointsOffStep(points=command.points, points_step=points_step)
    if command.order_minor is not None:
        most = points_max(command.order_minor, command.program)
        if command.points > most:
            raise errors.PointsAboveShare(points=command.points, points_max=most)


def capture(command: Capture, book: Book, desk: Desk) -> Posted:
    """Spends held points, in the order they were drawn, and releases the rest where asked to."""
    record = _hold_of(book, command.hold_id)
    held = record.still_held
    if not held or (record.expire_time <= desk.now and record.state is HoldState.OPEN):
        raise _not_open(record, desk)
    asked = command.points or held
    if asked > held:
        raise errors.HoldExceeded(asked=asked, held=held)
    left = asked
    for part in record.lots:
        taken = min(part.points - part.captured - part.released, left)
        part.captured += taken
        left -= taken
    record.captured += asked
    account = book.account(record.member_id)
    account.held -= asked
    postings = [Posting(Account.HELD, Account.REDEEMED, asked)]
    moves: list[LotMove] = []
    if command.release_rest and record.still_held:
        posting, moves = _release_rest(record, account, book)
        postings.append(posting)
    if not record.still_held:
        record.state = HoldState.CLOSED
    return post_hold(book, desk, account, Kind.CAPTURE, postings, moves, record, command.request_id)


def release(command: Release, book: Book, desk: Desk) -> Posted:
    """Gives what is still held back to the lots it came from."""
    record = _hold_of(book, command.hold_id)
    if not record.still_held:
        raise _not_open(record, desk)
    account = book.account(record.member_id)
    posting, moves = _release_rest(record, account, book)
    record.state = HoldState.EXPIRED if command.timed_out else HoldState.CLOSED
    request_id = None if command.timed_out else command.request_id
    occurred = record.expire_time if command.timed_out else desk.now
    return post_hold(
        book, desk, account, Kind.RELEASE, [posting], moves, record, request_id, occurred
    )


def _release_rest(
    record: HoldRecord, account: AccountState, book: Book
) -> tuple[Posting, list[LotMove]]:
    rest = record.still_held
    moves = []
    for part in record.lots:
        back = part.points - part.captured - part.released
        if back:
            part.released += back
            moves.append(move(book, book.lot(part.lot_id), back))
    record.released += rest
    account.held -= rest
    account.active += rest
    return Posting(Account.HELD, Account.ACTIVE, rest), moves


def refund(command: Refund, book: Book, desk: Desk) -> Posted:
    """Gives captured points back: the last that were drawn first, to their own lots.

    Where a lot would expire before the program's floor, what comes back gets a lot with a later
    expiry; it still names the earning that it came from.
    """
    record = _hold_of(book, command.hold_id)
    refundable = record.captured - record.refunded
    asked = command.points or refundable
    if not asked or asked > refundable:
        raise errors.RefundExceeded(asked=asked, refundable=refundable)
    program = desk.programs.version(record.program_version)
    moves: list[LotMove] = []
    left = asked
    for part in reversed(record.lots):
        back = min(part.captured - part.refunded, left)
        if back:
            part.refunded += back
            left -= back
            moves.append(_restore(book.lot(part.lot_id), back, program, book, desk))
    record.refunded += asked
    account = book.account(record.member_id)
    account.active += asked
    postings = [Posting(Account.REDEEMED, Account.ACTIVE, asked)]
    if account.state == Standing.CLOSED:
        forfeited, drawn = forfeit_refund(account, moves, book)
        postings.append(forfeited)
        moves += drawn
    return post_hold(book, desk, account, Kind.REFUND, postings, moves, record, command.request_id)


def _restore(
    lot: LotState, points: int, program: CompiledProgram, book: Book, desk: Desk
) -> LotMove:
    expire = expiry.restored_expire_time(lot.expire_time, desk.now, program)
    if expire == lot.expire_time:
        return move(book, lot, points)
    fresh = LotState(
        lot.member_id, desk.new_id(), lot.transaction_id, False, points, points, 0, None, expire,
        next_due(False, None, expire, program),
    )  # fmt: skip
    book.add_new_lot(fresh)
    book.replacements.append(Replacement(lot.member_id, fresh.lot_id, lot.lot_id))
    return LotMove(fresh.lot_id, points, expire, lot.transaction_id)


def _hold_of(book: Book, hold_id: UUID) -> HoldRecord:
    record = book.holds.get(hold_id)
    if record is None:
        raise errors.HoldNotFound(hold_id=hold_id)
    return record


def _not_open(record: HoldRecord, desk: Desk) -> errors.HoldNotOpen:
    timed_out = record.state is HoldState.OPEN and record.expire_time <= desk.now
    state = HoldState.EXPIRED if timed_out else record.state
    return errors.HoldNotOpen(
        hold_id=record.hold_id, state=state.name.lower(), captured=record.captured,
        released=record.released, points=record.points,
    )  # fmt: skip
