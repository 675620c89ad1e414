"""Points earned, and taken back with a returned purchase."""

from points import errors
from points.book import Book
from points.posting import Desk, move, next_due, post
from points.standing import check_may_earn, check_not_merged
from points.undoing import Kept, kept_after, kept_points, undo
from points.values import (
    Account,
    AccountState,
    AccrualRecord,
    Accrue,
    Grant,
    Kind,
    LotMove,
    LotState,
    Posted,
    Posting,
    Reverse,
)
from rules import expiry
from rules.compiled import ProgramHistory
from rules.earning import earned_after_return


def accrue(command: Accrue, grant: Grant, book: Book, desk: Desk) -> Posted:
    """Opens a lot with what was earned, after the debt is paid; a lot under review waits for its
    case.
    """
    account = book.account(command.member_id)
    check_may_earn(account)
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
    if command.origin.region:
        grant.explanation["region"] = command.origin.region
    return post(
        book, desk, account, Kind.ACCRUAL, postings, moves, transaction_id=transaction_id,
        program_version=program.version, request_id=command.request_id, order_id=command.order_id,
        occurred_time=command.occurred_time, explanation=grant.explanation,
    )  # fmt: skip


def reverse(command: Reverse, book: Book, desk: Desk) -> Posted:
    """Takes back what the returned part of a purchase had earned, by the rules that had decided it.

    The accrual's own points go first, then the member's others, those that expire first; the rest
    becomes a debt. What had already expired unused is not asked for again.
    """
    check_not_merged(book.account(command.member_id))
    record = book.accruals.get(command.transaction_id)
    if record is None or record.member_id != command.member_id:
        raise errors.TransactionNotFound(
            member_id=command.member_id, transaction_id=command.transaction_id
        )
    if record.kind != Kind.ACCRUAL:
        raise errors.NotAnAccrual(transaction_id=command.transaction_id)
    returned = _returned_minor(command, record)
    kept = kept_after(record, returned, command.returned_lines)
    due = _points_due(record, kept, desk.programs)
    owners = {record.member_id, record.booked_member_id}
    own = [lot for one in owners for lot in book.lots_of_accrual(one, record.transaction_id)]
    forgiven = min(due, sum(lot.expired for lot in own) - record.forgiven_points)
    undone = undo(record, kept, book, desk.programs.version(record.program_version))
    account = book.account(record.member_id)
    asked = due - forgiven + undone.points - undone.forgiven
    postings, moves = _draw_back(asked, [*own, *undone.lots], account, book)
    record.returned_minor += returned
    record.kept_lines = kept.by_line
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
            ],
            *undone.lines,
        ],
        "under_review": record.explanation.get("review", False),
        "accrual_occurred": record.occurred_time.isoformat(),
    }
    if "region" in record.explanation:
        explanation["region"] = record.explanation["region"]
    if expired := forgiven + undone.forgiven:
        line = ["already_expired", True, "", str(expired), "expired unused, not asked for again"]
        explanation["lines"].append(line)
    return post(
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


def _points_due(record: AccrualRecord, kept: Kept, programs: ProgramHistory) -> int:
    """What was earned less what the part that is kept earns, less what was taken back before."""
    program = programs.version(record.program_version)
    explanation = record.explanation
    applied = {line[0] for line in explanation["lines"] if line[1]}
    if "basis" in explanation:
        left = kept_points(record, kept, program)
        return max(0, int(explanation["points"]) - left - record.reversed_points)
    left = earned_after_return(
        kept.minor, applied, program.tier(explanation["tier"]), program
    ).points
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
            moves.append(move(book, lot, -taken))
            due -= taken
    account.pending -= drawn[Account.PENDING]
    account.active -= drawn[Account.ACTIVE]
    account.debt += due
    for source, points in (*drawn.items(), (Account.DEBT, due)):
        if points:
            postings.append(Posting(source, Account.REVERSED, points))
    return postings, moves
