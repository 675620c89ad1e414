"""Warnings of points about to expire: one to a member, day and horizon, with the sum (PT-06)."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from points.values import LotState
from rules.calendar import day_end
from rules.compiled import CompiledProgram


@dataclass(frozen=True, slots=True)
class Notice:
    """What a member is told: points that end within `days`, and when the first of them do."""

    points: int
    expire_time: datetime
    days: int


def horizon(due: Iterable[LotState], as_of: datetime, program: CompiledProgram) -> datetime:
    """Until when the lots of a member must be known to decide on those that are due."""
    days = [_term(lot, as_of, program) for lot in due]
    return day_end(as_of, max((one for one in days if one is not None), default=0), program.zone)


def look_ahead(
    due: Sequence[LotState], lots: Iterable[LotState], as_of: datetime, program: CompiledProgram
) -> tuple[list[Notice], list[LotState]]:
    """Decides what one member is told: `lots` are the active ones that end before the horizon.

    All that ends on a day is told of together, with the first of it; whatever comes to a day that
    was told of is not told of again before the next term. Returns the lots as well: each is next
    due at its next term.
    """
    terms = {_term(lot, as_of, program) for lot in due}
    days_of_term: defaultdict[int, defaultdict[date, list[LotState]]]
    days_of_term = defaultdict(lambda: defaultdict(list))
    looked_at = {lot.lot_id: lot for lot in due}
    for lot in lots:
        term = _term(lot, as_of, program)
        if term is not None and term in terms and lot.expire_time is not None:
            days_of_term[term][lot.expire_time.astimezone(program.zone).date()].append(lot)
            looked_at[lot.lot_id] = lot
    notices = []
    for term, days in days_of_term.items():
        new = [group for group in days.values() if not any(_is_told(lot, term) for lot in group)]
        ends = [lot.expire_time for group in new for lot in group if lot.expire_time is not None]
        if ends:
            points = sum(lot.remaining for group in new for lot in group)
            notices.append(Notice(points, min(ends), term))
    for lot in looked_at.values():
        lot.due_time = _next_look(lot, as_of, program)
    return notices, list(looked_at.values())


def _term(lot: LotState, as_of: datetime, program: CompiledProgram) -> int | None:
    """The nearest term that has begun for the day on which a lot ends; None where none has."""
    assert lot.expire_time is not None
    for days in reversed(program.expiry.warning_days):
        if lot.expire_time < day_end(as_of, days, program.zone):
            return days
    return None


def _is_told(lot: LotState, days: int) -> bool:
    """Whether the lot was looked at for this term: then it is due at a later one."""
    assert lot.expire_time is not None
    return lot.due_time is None or lot.due_time > lot.expire_time - timedelta(days=days)


def _next_look(lot: LotState, as_of: datetime, program: CompiledProgram) -> datetime:
    assert lot.expire_time is not None
    term = _term(lot, as_of, program)
    ahead = [
        lot.expire_time - timedelta(days=days)
        for days in program.expiry.warning_days
        if term is None or days < term
    ]
    return min((*ahead, lot.expire_time))
