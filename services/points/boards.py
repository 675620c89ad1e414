"""Which leaderboards points count on, and who has which rank."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

from rules.compiled import CompiledProgram
from rules.values import Period

EVERYWHERE = ""
# Where all time begins: any day does.
BEGINNING = date(1970, 1, 1)


class BoardKey(NamedTuple):
    """A leaderboard: its period, the day on which that begins, the region."""

    period: Period
    start: date
    region: str


@dataclass(frozen=True, slots=True)
class Entry:
    """A member on a leaderboard."""

    rank: int
    member_id: str
    points: int


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a member stands, and what is missing to stand better."""

    rank: int
    points: int
    next_rank: int
    points_to_next: int
    points_to_target: int


def boards_of(instant: datetime, region: str, program: CompiledProgram) -> Iterator[BoardKey]:
    """The leaderboards that points of an instant count on."""
    kept = program.leaderboards
    regions = {EVERYWHERE, region} if kept.by_region else {EVERYWHERE}
    for period in kept.periods:
        start = start_of(period, instant, program.zone)
        yield from (BoardKey(period, start, one) for one in regions)


def start_of(period: Period, instant: datetime, zone: ZoneInfo) -> date:
    """The day on which the period of an instant begins."""
    day = instant.astimezone(zone).date()
    match period:
        case Period.DAY:
            return day
        case Period.WEEK:
            return day - timedelta(days=day.weekday())
        case Period.MONTH:
            return day.replace(day=1)
        case Period.YEAR:
            return day.replace(month=1, day=1)
        case Period.ALL:
            return BEGINNING


def ranked(scores: Sequence[tuple[str, int]], before: int, higher: int) -> Iterable[Entry]:
    """Members of a page with their ranks: `before` stand before the first of them in the list,
    `higher` have more points than that one.

    Whoever has as many points as the one before has the same rank (competition ranking).
    """
    rank, points = higher + 1, scores[0][1] if scores else 0
    for position, (member_id, own) in enumerate(scores, before + 1):
        if own != points:
            rank, points = position, own
        yield Entry(rank, member_id, own)


def standing(
    points: int,
    higher: int,
    above: tuple[int, int] | None,
    target_points: int | None,
    target_rank: int,
) -> Standing:
    """Where a member stands whom `higher` others surpass, the nearest of them with the points and
    behind the number of others in `above`.

    The rank that is wanted is had with as many points as whoever stands at that place; where nobody
    stands there, with one. Whoever has less than nothing is shown with nothing, and has as much
    more to earn.
    """
    rank = higher + 1 if points > 0 else 0
    next_points, next_higher = above or (points, -1)
    wanted = (target_points or 1) if target_rank else 0
    return Standing(
        rank, max(0, points), next_higher + 1, next_points - points, max(0, wanted - points)
    )
