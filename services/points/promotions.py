"""Promotion windows (PT-10): which points of a hold are worth more, and what they use of a member's
day. Pure but for the book.

Of a hold so many points are worth more as were left of the day's cap when it was made: the first to
be spent, the last to be released or given back. So what is spent of it is worth what the rules say
of so many points, whichever captures and refunds led there.
"""

from collections.abc import Iterable, Sequence

from points import errors
from points.book import Book
from points.values import Account, Command, Hold, HoldRecord, Kind, Posting, WindowDay
from rules.calendar import day_of
from rules.compiled import CompiledProgram
from rules.money import decimal_text
from rules.redemption import NO_BOOST, Boost, boost_of, points_max, points_value_minor


def days_of(commands: Iterable[Command], holds: Iterable[HoldRecord]) -> set[WindowDay]:
    """The days of windows that a batch may count in: those of new holds and of holds at hand."""
    days = {day for command in commands if isinstance(command, Hold) and (day := day_for(command))}
    return days | {hold.window_day for hold in holds if hold.window_day is not None}


def day_for(command: Hold) -> WindowDay | None:
    """The day of a promotion window in which points are set aside; None outside of windows."""
    window = command.program.redemption.window_at(command.occurred_time)
    if window is None:
        return None
    member_id = command.spender_id or command.member_id
    return WindowDay(member_id, window.name, day_of(command.occurred_time, command.program.zone))


def boost_for(command: Hold, book: Book) -> Boost:
    """What is left of the spender's day, now that it is locked.

    Raises PointsAboveShare or PointsValueChanged.
    """
    day = day_for(command)
    window = command.program.redemption.window_at(command.occurred_time)
    boost = boost_of(window, book.use(day).points) if day else NO_BOOST
    if command.expected_minor is not None:
        _check_value(command, command.expected_minor, boost)
    if boost.points and command.order_minor is not None:
        most = points_max(command.order_minor, command.program, boost)
        if command.points > most:
            raise errors.PointsAboveShare(points=command.points, points_max=most)
    return boost


def _check_value(command: Hold, expected_minor: int, boost: Boost) -> None:
    value = points_value_minor(command.points, command.program, boost)
    if value != expected_minor:
        raise errors.PointsValueChanged(
            points=command.points, value=_amount(value, command.program),
            expected=_amount(expected_minor, command.program),
        )  # fmt: skip


def _amount(minor: int, program: CompiledProgram) -> str:
    return f"{decimal_text(minor, program.minor_digits)} {program.currency}"


def mark(record: HoldRecord, command: Hold, boost: Boost, book: Book) -> None:
    """Notes on a new hold how many of its points are worth more."""
    day = day_for(command)
    boosted = min(record.points, boost.points)
    window = command.program.redemption.window_at(command.occurred_time)
    if day is None or window is None or not boosted:
        return
    record.window_day, record.window_points = day, boosted
    use = book.use(day)
    use.points_max = max(use.points_max, window.member_day_points_max)


def count(record: HoldRecord, book: Book) -> None:
    """Counts a hold in its day as it now stands."""
    if record.window_day is None or record.window_used == record.window_counted:
        return
    book.use(record.window_day).points += record.window_used - record.window_counted
    record.window_counted = record.window_used
    book.changed_uses.add(record.window_day)


def told(
    record: HoldRecord, kind: Kind, postings: Sequence[Posting], program: CompiledProgram
) -> dict[str, object]:
    """What the points of a hold pay, those that are spent of it, and those that a transaction
    moved: in minor units, by the version of the program that the hold was made under.
    """
    boost = _boost_on(record, program)
    worth = {
        "value": points_value_minor(record.points, program, boost),
        "spent": points_value_minor(record.captured - record.refunded, program, boost),
        "moved": _moved_minor(record, kind, postings, program, boost),
        "currency": program.currency,
        "digits": program.minor_digits,
    }
    if record.window_day is not None:
        worth |= {"boosted": record.window_points, "window": record.window_day.window}
    return worth


def _boost_on(record: HoldRecord, program: CompiledProgram) -> Boost:
    if record.window_day is None:
        return NO_BOOST
    name = record.window_day.window
    [window] = [one for one in program.redemption.windows if one.name == name]
    return Boost(record.window_points, window.factor_e4, name)


def _moved_minor(
    record: HoldRecord,
    kind: Kind,
    postings: Sequence[Posting],
    program: CompiledProgram,
    boost: Boost,
) -> int:
    """The difference that a transaction made to what is spent, or to what may be."""
    match kind:
        case Kind.CAPTURE:
            after = record.captured - record.refunded
            before = after - sum(one.points for one in postings if one.target is Account.REDEEMED)
        case Kind.REFUND:
            after = record.captured - record.refunded
            before = after + sum(one.points for one in postings if one.source is Account.REDEEMED)
        case Kind.RELEASE:
            after = record.living
            before = after + sum(one.points for one in postings)
        case _:
            before, after = 0, record.points
    values = [points_value_minor(points, program, boost) for points in (before, after)]
    return abs(values[1] - values[0])
