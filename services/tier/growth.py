"""What a member spent, and what of it counts in a window (TR-01)."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from itertools import accumulate
from typing import NamedTuple
from uuid import UUID

from rules.calendar import add_months
from rules.compiled import CompiledProgram

BEGINNING = datetime(1, 1, 2, tzinfo=UTC)
RESOLUTION = timedelta(microseconds=1)


class Spend(NamedTuple):
    """Spend in minor units at the time of a purchase; below 0 where it was returned."""

    counted_time: datetime
    event_id: UUID
    spend_minor: int


def turn_of(spend: Spend) -> tuple[datetime, bool, UUID]:
    """Where a spend comes in the order of decisions: at one instant what was returned comes first,
    so that a purchase whose return has overtaken it reaches nothing.
    """
    return spend.counted_time, spend.spend_minor > 0, spend.event_id


class Window(NamedTuple):
    """A stretch of time, both ends counted."""

    start: datetime
    end: datetime


def window_at(instant: datetime, program: CompiledProgram) -> Window:
    """The months up to and with an instant; the same instant months ago counts no more."""
    start = add_months(instant, -program.window_months, program.zone) + RESOLUTION
    return Window(start, instant)


def window_before(instant: datetime, since: datetime | None, program: CompiledProgram) -> Window:
    """The months up to the end of a validity; what is spent at that very instant comes after.

    What the decision of `since` had counted is out once these months have passed since then.
    """
    start = window_at(instant, program).start
    # A year after 29 February is the 28th, and a year before the 28th is not the 29th.
    if since is not None and add_months(since, program.window_months, program.zone) <= instant:
        start = max(start, since + RESOLUTION)
    return Window(start, instant - RESOLUTION)


class Growth:
    """All spend of one member that a decision may look at, in the order of decisions."""

    def __init__(self, spends: Iterable[Spend]) -> None:
        self.spends = sorted(spends, key=turn_of)
        self._times = [spend.counted_time for spend in self.spends]
        self._sums = list(accumulate((spend.spend_minor for spend in self.spends), initial=0))

    def spend_in(self, window: Window) -> int:
        """Minor units spent in a window; 0 where a return has overtaken its purchase."""
        return self.spend_through(bisect_right(self._times, window.end), window.start)

    def spend_through(self, count: int, start: datetime) -> int:
        """Minor units of the first `count` spends, from `start` on; 0 or more."""
        first = bisect_left(self._times, start)
        return max(0, self._sums[count] - self._sums[first]) if count > first else 0

    def between(self, first: datetime, last: datetime | None = None) -> range:
        """Which of `spends` are from `first` to `last`, both with all of the same instant."""
        end = len(self._times) if last is None else bisect_right(self._times, last)
        return range(bisect_left(self._times, first), end)
