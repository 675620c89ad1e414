"""What each command does to the ledger.

Pure but for the book that it is handed: nothing of it changes when a command is refused.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from points import errors
from points.book import Book
from points.values import (
    Account,
    AccountState,
    AccrualRecord,
    Accrue,
    Capture,
    Grant,
    Hold,
    HoldLot,
    HoldRecord,
    HoldState,
    Kind,
    LotMove,
    LotState,
    Posted,
    Posting,
    Refund,
    Release,
    Reverse,
)
from rules import expiry
from rules.compiled import CompiledProgram, ProgramHistory
from rules.earning import earned_after_return
from rules.redemption import points_max


@dataclass(frozen=True, slots=True)
class Desk:
    """What every decision may use: the instant it is booked at, new ids, and all versions of the
    program.
    """

    now: datetime
    new_id: Callable[[], UUID]
    programs: ProgramHistory

    @property
    def program(self) -> CompiledProgram:
        """The program in force now."""
        return self.programs.in_force(self.now)


def accrue(command: Accrue, grant: Grant, book: Book, desk: Desk) -> Posted:
    """Opens a lot with what was earned, after the debt is paid; a lot under review waits for its
    case.
    """
    account = book.account(command.member_id)
    transaction_id = desk.new_id()
    program = command.program
    repaid = 0 if grant.under_review else min(account.debt, grant.points)
    rest = grant.points - repaid
    mature = None if grant.under_review else expiry.mature_time(command.occurred_time, program)
    pending = grant.under_review or (mature is not None and mature > desk.now)
    postings, moves = [], []
    if repaid:
        account.debt -= repaid
        postings.append(Posting(Account.ISSUED, Account.DEBT, repaid))
        line = ["debt_repaid", True, "", str(-repaid), "what the member owed is paid first"]
        grant.explanation["lines"].append(line)
    if rest:
        expire = expiry.expire_time(command.occurred_time, program)
        lot = LotState(
            command.member_id, transaction_id, transaction_id, pending, rest, rest, 0,
            mature, expire, next_due(pending, mature, expire, program),
        )  # fmt: skip
        book.add_new_lot(lot)
        moves.append(LotMove(lot.lot_id, rest, expire, transaction_id))
        postings.append(
            Posting(Account.ISSUED, Account.PENDING if pending else Account.ACTIVE, rest)
        )
        if pending:
            account.pending += rest
        else:
            account.active += rest
    if pending and mature is not None:
        grant.explanation["mature"] = mature.isoformat()
    return _post(
        book, desk, account, Kind.ACCRUAL, postings, moves, transaction_id=transaction_id,
        program_version=program.version, request_id=command.request_id, order_id=command.order_id,
        occurred_time=command.occurred_time, explanation=grant.explanation,
    )  # fmt: skip


def next_due(
    pending: bool, mature: datetime | None, expire: datetime | None, program: CompiledProgram
) -> datetime | None:
    """When the scheduled work must look at a lot: to mature it, else for its first warning or its
    expiry.
    """
    if pending and mature is not None:
        return mature
    if expire is None:
        return None
    days = program.expiry.warning_days
    return expire - timedelta(days=days[0]) if days else expire


def hold(command: Hold, assessment_id: str, book: Book, desk: Desk) -> Posted:
    """Sets active points aside, those that expire first."""
    account = book.account(command.member_id)
    lots = book.spendable_lots(command.member_id, command.occurred_time)
    available = min(account.active, sum(lot.remaining for lot in lots))
    if available < command.points:
        raise errors.InsufficientPoints(asked=command.points, available=available)
    expire = desk.now + timedelta(minutes=command.program.redemption.hold_minutes)
    record = HoldRecord(
        command.member_id, desk.new_id(), command.points, 0, 0, 0, HoldState.OPEN, command.order_id,
        command.program.version, expire, desk.now,
    )  # fmt: skip
    moves, left = [], command.points
    for lot in lots:
        drawn = min(lot.remaining, left)
        record.lots.append(HoldLot(len(record.lots), lot.lot_id, drawn))
        moves.append(_move(book, lot, -drawn))
        left -= drawn
        if not left:
            break
    book.holds[record.hold_id] = record
    account.active -= command.points
    account.held += command.points
    posting = Posting(Account.ACTIVE, Account.HELD, command.points)
    return _post(
        book, desk, account, Kind.HOLD, [posting], moves, program_version=command.program.version,
        request_id=command.request_id, order_id=command.order_id, hold=record,
        occurred_time=command.occurred_time, explanation={"assessment": assessment_id},
    )  # fmt: skip


def check_redemption(command: Hold) -> None:
    """Raises PointsBelowMinimum or PointsAboveShare where the program does not allow so few or so
    many points.
    """
    points_min = command.program.redemption.points_min
    if command.points < points_min:
        raise errors.PointsBelowMinimum(points=command.points, points_min=points_min)
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
    return _post_hold(
        book, desk, account, Kind.CAPTURE, postings, moves, record, command.request_id
    )


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
    return _post_hold(
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
            moves.append(_move(book, book.lot(part.lot_id), back))
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
    moves, left = [], asked
    for part in reversed(record.lots):
        back = min(part.captured - part.refunded, left)
        if back:
            part.refunded += back
            left -= back
            moves.append(_restore(book.lot(part.lot_id), back, program, book, desk))
    record.refunded += asked
    account = book.account(record.member_id)
    account.active += asked
    posting = Posting(Account.REDEEMED, Account.ACTIVE, asked)
    return _post_hold(
        book, desk, account, Kind.REFUND, [posting], moves, record, command.request_id
    )


def _restore(
    lot: LotState, points: int, program: CompiledProgram, book: Book, desk: Desk
) -> LotMove:
    expire = expiry.restored_expire_time(lot.expire_time, desk.now, program)
    if expire == lot.expire_time:
        return _move(book, lot, points)
    fresh = LotState(
        lot.member_id, desk.new_id(), lot.transaction_id, False, points, points, 0, None, expire,
        next_due(False, None, expire, program),
    )  # fmt: skip
    book.add_new_lot(fresh)
    return LotMove(fresh.lot_id, points, expire, lot.transaction_id)


def reverse(command: Reverse, book: Book, desk: Desk) -> Posted:
    """Takes back what the returned part of a purchase had earned, by the rules that had decided it.

    The accrual's own points go first, then the member's others, those that expire first; the rest
    becomes a debt. What had already expired unused is not asked for again.
    """
    record = book.accruals.get(command.transaction_id)
    if record is None or record.member_id != command.member_id:
        raise errors.TransactionNotFound(
            member_id=command.member_id, transaction_id=command.transaction_id
        )
    if record.kind != Kind.ACCRUAL:
        raise errors.NotAnAccrual(transaction_id=command.transaction_id)
    returned = _returned_minor(command, record)
    due = _points_due(record, returned, desk.programs)
    own = book.lots_of_accrual(record.member_id, record.transaction_id)
    forgiven = min(due, sum(lot.expired for lot in own) - record.forgiven_points)
    account = book.account(record.member_id)
    postings, moves = _draw_back(due - forgiven, own, account, book)
    record.returned_minor += returned
    record.reversed_points += due
    record.forgiven_points += forgiven
    book.changed_accruals[record.transaction_id] = record
    explanation = {
        **{key: record.explanation[key] for key in ("currency", "digits")},
        "spend": returned,
        "lines": [
            [
                "reversal",
                True,
                "",
                str(-due),
                f"by version {record.program_version}, as it was earned",
            ]
        ],
        "under_review": record.explanation.get("review", False),
        "accrual_occurred": record.occurred_time.isoformat(),
    }
    if forgiven:
        line = ["already_expired", True, "", str(forgiven), "expired unused, not asked for again"]
        explanation["lines"].append(line)
    return _post(
        book, desk, account, Kind.REVERSAL, postings, moves, program_version=record.program_version,
        request_id=command.request_id, order_id=record.order_id,
        reversed_transaction_id=record.transaction_id, explanation=explanation,
    )  # fmt: skip


def _returned_minor(command: Reverse, record: AccrualRecord) -> int:
    left: int = record.explanation["spend"] - record.returned_minor
    asked = left if command.returned_minor is None else command.returned_minor
    nothing_left = not left and record.explanation["spend"] > 0
    if asked > left or nothing_left or (asked == 0 and record.explanation["spend"] > 0):
        raise errors.ReturnExceeded(asked_minor=asked, left_minor=left)
    return asked


def _points_due(record: AccrualRecord, returned: int, programs: ProgramHistory) -> int:
    """What was earned less what the part that is kept earns, less what was taken back before."""
    program = programs.version(record.program_version)
    explanation = record.explanation
    applied = {line[0] for line in explanation["lines"] if line[1]}
    kept = explanation["spend"] - record.returned_minor - returned
    left = earned_after_return(kept, applied, program.tier(explanation["tier"]), program).points
    return max(0, int(explanation["points"]) - left - record.reversed_points)


def _draw_back(
    due: int, own: list[LotState], account: AccountState, book: Book
) -> tuple[list[Posting], list[LotMove]]:
    postings: list[Posting] = []
    moves: list[LotMove] = []
    others = [lot for lot in book.active_lots(account.member_id) if lot not in own]
    drawn = {Account.PENDING: 0, Account.ACTIVE: 0}
    for lot in (*own, *others):
        taken = min(lot.remaining, due)
        if taken:
            drawn[Account.PENDING if lot.pending else Account.ACTIVE] += taken
            moves.append(_move(book, lot, -taken))
            due -= taken
    account.pending -= drawn[Account.PENDING]
    account.active -= drawn[Account.ACTIVE]
    account.debt += due
    for source, points in (*drawn.items(), (Account.DEBT, due)):
        if points:
            postings.append(Posting(source, Account.REVERSED, points))
    return postings, moves


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
    move = _move(book, lot, -points)
    posting = Posting(source, Account.EXPIRED, points)
    reason = f"earned points end with {lot.expire_time:%Y-%m-%d}"
    explanation = {"lines": [["expiry", True, "", str(-points), reason]]}
    return _post(
        book, desk, account, Kind.EXPIRY, [posting], [move], occurred_time=lot.expire_time,
        explanation=explanation,
    )  # fmt: skip


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
    return _post(
        book, desk, account, Kind.MATURATION, [posting], [], occurred_time=lot.mature_time,
        explanation=explanation,
    )  # fmt: skip


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


def _move(book: Book, lot: LotState, points: int) -> LotMove:
    lot.remaining += points
    if points > 0 and lot.due_time is None:
        # Back in a lot that the scheduled work was done with: it must look again.
        lot.due_time = lot.expire_time
    book.change_lot(lot)
    return LotMove(lot.lot_id, points, lot.expire_time, lot.transaction_id)


def _post_hold(
    book: Book,
    desk: Desk,
    account: AccountState,
    kind: Kind,
    postings: list[Posting],
    moves: list[LotMove],
    record: HoldRecord,
    request_id: str | None,
    occurred_time: datetime | None = None,
) -> Posted:
    return _post(
        book, desk, account, kind, postings, moves, program_version=record.program_version,
        request_id=request_id, order_id=record.order_id, hold=record,
        occurred_time=occurred_time,
    )  # fmt: skip


def _post(
    book: Book,
    desk: Desk,
    account: AccountState,
    kind: Kind,
    postings: list[Posting],
    moves: list[LotMove],
    *,
    transaction_id: UUID | None = None,
    program_version: int = 0,
    request_id: str | None = None,
    order_id: str | None = None,
    hold: HoldRecord | None = None,
    reversed_transaction_id: UUID | None = None,
    occurred_time: datetime | None = None,
    explanation: dict[str, Any] | None = None,
) -> Posted:
    book.changed_accounts.add(account.member_id)
    if hold is not None:
        book.changed_holds[hold.hold_id] = hold
        explanation = {**(explanation or {}), "hold": _snapshot(hold)}
    return Posted(
        account.member_id, transaction_id or desk.new_id(), kind, tuple(postings), tuple(moves),
        account.active, account.pending, account.held, account.debt,
        program_version, request_id, order_id, hold.hold_id if hold else None,
        reversed_transaction_id, occurred_time or desk.now, desk.now, explanation,
    )  # fmt: skip


def _snapshot(record: HoldRecord) -> dict[str, object]:
    """The hold right after a transaction, so that a repeated request gets the answer of the first
    time.
    """
    return {
        "points": record.points,
        "captured": record.captured,
        "released": record.released,
        "refunded": record.refunded,
        "state": int(record.state),
        "expire": record.expire_time.isoformat(),
        "create": record.create_time.isoformat(),
    }
