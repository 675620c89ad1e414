"""Points taken back with a returned purchase, by the rules that had decided it (PT-09)."""

from collections.abc import Iterable, Sequence
from typing import Any
from uuid import UUID

from google.type.money_pb2 import Money

from kit.errors import AmountInvalid
from kit.money import to_minor
from points import errors
from points.book import Book
from points.posting import Desk, move, post
from points.standing import check_not_merged
from points.undoing import Due, Kept, Undone, due_by_lot, kept_after, kept_points, undo
from points.values import (
    Account,
    AccountState,
    AccrualRecord,
    Amount,
    Debt,
    Kind,
    LotMove,
    LotState,
    Posted,
    Posting,
    Reverse,
)
from rules.calendar import add_days
from rules.compiled import CompiledProgram
from rules.earning import earned_after_return
from rules.money import decimal_text
from rules.redemption import points_value_minor
from rules.values import Shortfall

Lines = tuple[tuple[str, int], ...]


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
    program = desk.programs.version(record.program_version)
    returned, lines = _returned(command, record, program)
    kept = kept_after(record, returned, lines)
    due = _points_due(record, kept, program)
    own = book.lots_of_accrual(record.member_id, record.transaction_id)
    shares = due_by_lot(record, kept, own, due, program)
    forgiven = _forgiven(shares, own, due, record)
    undone = undo(record, kept, book, desk.programs)
    account = book.account(record.member_id)
    asked = due - forgiven + undone.points - undone.forgiven
    # A bonus goes out of its own lots, which a verdict may ask for, too.
    shares = [Due(undone.lots, undone.points - undone.forgiven, 0), *shares]
    others = book.spendable_lots(account.member_id, account.ends_stand_at(desk.now))
    rest = [*own, *undone.lots, *(lot for lot in others if lot not in own)]
    postings, moves, short = _draw_back(asked, shares, rest, account, book)
    debt = _debt(short, account, program)
    cash = short - debt
    cash_minor = _cash_minor(cash, record, program)
    if debt:
        account.debt += debt
        postings.append(Posting(Account.DEBT, Account.REVERSED, debt))
    record.returned = True
    record.returned_minor += returned
    record.kept_lines = kept.by_line
    record.reversed_points += due
    record.forgiven_points += forgiven
    record.cash_points += cash
    book.changed_accruals[record.transaction_id] = record
    spared = forgiven + undone.forgiven
    lines_told = [_line("reversal", -due, f"by version {record.program_version}, as it was earned")]
    lines_told += undone.lines
    if spared:
        lines_told.append(_line("already_expired", spared, "expired unused, not asked for again"))
    if cash:
        worth = decimal_text(cash_minor, program.minor_digits)
        reason = f"made up for in cash: {worth} {program.currency} to be withheld, rounded down"
        lines_told.append(_line("cash_withheld", cash, reason))
    explanation = {
        **_kept_facts(record, undone),
        "spend": returned,
        "lines": lines_told,
        "forgiven": spared,
        "cash_points": cash,
        "cash_minor": cash_minor,
    }
    posted = post(
        book, desk, account, Kind.REVERSAL, postings, moves, program_version=record.program_version,
        request_id=command.request_id, order_id=record.order_id,
        reversed_transaction_id=record.transaction_id, explanation=explanation,
    )  # fmt: skip
    if debt:
        days = program.returns.debt_days
        end = add_days(desk.now, days, program.zone) if days else None
        book.new_debts.append(Debt(account.member_id, posted.transaction_id, debt, end))
    return posted


def _line(name: str, points: int, reason: str) -> list[object]:
    return [name, True, "", str(points), reason]


def _kept_facts(record: AccrualRecord, undone: Undone) -> dict[str, Any]:
    """What a return tells of its accrual, and where what is taken back had counted."""
    facts = {key: record.explanation[key] for key in ("currency", "digits")}
    if "region" in record.explanation:
        facts["region"] = record.explanation["region"]
    if record.booked_member_id != record.member_id:
        facts["booked_member"] = record.booked_member_id
    if undone.bonuses:
        facts["lost_bonuses"] = undone.bonuses
    facts["under_review"] = record.explanation.get("review", False) and not record.settled
    facts["accrual_occurred"] = record.occurred_time.isoformat()
    return facts


def _debt(short: int, account: AccountState, program: CompiledProgram) -> int:
    """What of the missing points becomes a debt; the rest is made up for in cash."""
    policy = program.returns
    if policy.shortfall is Shortfall.CASH:
        return 0
    if not policy.debt_points_max:
        return short
    return min(short, max(0, policy.debt_points_max - account.debt))


def _cash_minor(cash: int, record: AccrualRecord, program: CompiledProgram) -> int:
    """What points are worth in money. Rounded down over all returns of the purchase, not for each:
    so the parts add up.
    """
    before = points_value_minor(record.cash_points, program)
    return points_value_minor(record.cash_points + cash, program) - before


def _returned(
    command: Reverse, record: AccrualRecord, program: CompiledProgram
) -> tuple[int, Lines]:
    """What was returned, in minor units of the currency that the purchase was made in.

    Raises CurrencyMismatch, AmountInvalid, LinesInvalid or ReturnExceeded.
    """
    left: int = record.explanation["spend"] - record.returned_minor
    asked = left
    lines: Lines = ()
    if command.returned_lines:
        lines = _returned_lines(command, program)
        asked = sum(minor for _, minor in lines)
    elif command.returned is not None:
        asked = _minor(command.returned, program, "returned_amount")
    if asked > left or (not left and record.returned):
        raise errors.ReturnExceeded(asked_minor=asked, left_minor=left, what="the purchase")
    if not asked and left:
        problem = "it must be more than 0; leave it out to return all that is left"
        raise AmountInvalid(field="returned_amount", problem=problem)
    return asked, lines


def _returned_lines(command: Reverse, program: CompiledProgram) -> Lines:
    lines: dict[str, int] = {}
    for index, (line_id, amount) in enumerate(command.returned_lines):
        path = f"returned_lines[{index}]"
        minor = _minor(amount, program, f"{path}.amount")
        if not minor or line_id in lines:
            problem = f"line {line_id} must be given once, with more than 0 of it returned"
            raise errors.LinesInvalid(field=path, problem=problem)
        lines[line_id] = minor
    return tuple(lines.items())


def _minor(amount: Amount, program: CompiledProgram, field: str) -> int:
    return to_minor(Money(**amount._asdict()), program.currency, program.minor_digits, field)


def _points_due(record: AccrualRecord, kept: Kept, program: CompiledProgram) -> int:
    """What was earned less what the part that is kept earns, less what was taken back before."""
    explanation = record.explanation
    applied = {line[0] for line in explanation["lines"] if line[1]}
    if "basis" in explanation:
        left = kept_points(record, kept, program)
        return max(0, int(explanation["points"]) - left - record.reversed_points)
    left = earned_after_return(
        kept.minor, applied, program.tier(explanation["tier"]), program
    ).points
    return max(0, int(explanation["points"]) - left - record.reversed_points)


def _forgiven(
    shares: Sequence[Due], own: Sequence[LotState], due: int, record: AccrualRecord
) -> int:
    """What of a return had expired unused: of each share, then of lots that belong to none."""
    expired = sum(min(max(0, one.so_far), _expired(one.lots)) for one in shares)
    belonging = {lot.lot_id for one in shares for lot in one.lots}
    others = _expired([lot for lot in own if lot.lot_id not in belonging])
    expired += min(max(0, sum(one.so_far for one in shares) - expired), others)
    # Less than before where a merge that had brought them was undone since.
    return min(due, max(0, expired - record.forgiven_points))


def _expired(lots: Iterable[LotState]) -> int:
    return sum(lot.expired for lot in lots)


def _draw_back(
    asked: int, shares: Sequence[Due], rest: Sequence[LotState], account: AccountState, book: Book
) -> tuple[list[Posting], list[LotMove], int]:
    """Takes points from lots: of each share what goes back of it, then of any that is left; returns
    how many could not be had, too.
    """
    taken: dict[UUID, int] = {}
    for lots, most in (*((one.lots, one.points) for one in shares), (rest, asked)):
        wanted = min(most, asked)
        for lot in lots:
            before = taken.get(lot.lot_id, 0)
            more = min(lot.remaining - before, wanted)
            if more > 0:
                taken[lot.lot_id] = before + more
                wanted -= more
                asked -= more
    drawn = {Account.PENDING: 0, Account.ACTIVE: 0}
    moves: list[LotMove] = []
    for lot_id, points in taken.items():
        lot = book.lot(lot_id)
        drawn[Account.PENDING if lot.pending else Account.ACTIVE] += points
        moves.append(move(book, lot, -points))
    account.pending -= drawn[Account.PENDING]
    account.active -= drawn[Account.ACTIVE]
    postings = [
        Posting(source, Account.REVERSED, points) for source, points in drawn.items() if points
    ]
    return postings, moves, asked
