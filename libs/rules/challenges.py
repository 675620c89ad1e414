"""Something to reach within a time (PT-04): a calendar month, some days, or a campaign."""

from datetime import date, datetime
from typing import NamedTuple

from rules.accrual_periods import day_of, month_of
from rules.accrual_values import Challenge, Counter, Key


class Advance(NamedTuple):
    """A challenge after an event, and whether the event reached it."""

    counter: Counter
    reached: bool
    ended: Counter | None = None
    """What was counted in the days that ended before the event."""


class Retreat(NamedTuple):
    """A challenge after something was taken back, and whether it is reached no more."""

    counter: Counter
    lost: bool


def challenge_key(challenge: Challenge, local: datetime) -> Key:
    """The counter of a challenge at an instant of the program's clock; of a challenge of some days
    that of its newest stretch of them.

    A campaign is told by the day that it begins on, so that one with a new window begins anew.
    """
    if challenge.window is not None:
        period = day_of(challenge.window.start.astimezone(local.tzinfo))
    else:
        period = "" if challenge.days else month_of(local)
    return Key(challenge.team, f"challenge:{challenge.name}", period)


def stretch_key(key: Key, first_day: int) -> Key:
    """Where a stretch of days is kept once another one has begun, by the ordinal of its first."""
    return key._replace(period=date.fromordinal(first_day).isoformat())


def advance(challenge: Challenge, counter: Counter, amount: int, day: int) -> Advance:
    """Counts an amount on a day, by its ordinal. It is reached once in its time.

    A challenge of some days begins with its first event (`day` of the counter) and begins anew with
    the first event after its end; an event of a day before its beginning comes too late.
    """
    ended = None
    if challenge.days:
        if counter.day == 0 or day >= counter.day + challenge.days:
            ended = counter if counter.day else None
            counter = Counter(0, day, 0)
        elif day < counter.day:
            return Advance(counter, reached=False)
    now = counter.amount + amount
    reached = not counter.reached and now >= challenge.target
    return Advance(Counter(now, counter.day, counter.reached + reached), reached, ended)


def retreat(challenge: Challenge, counter: Counter, amount: int) -> Retreat:
    """Takes an amount back from the time that it was counted in."""
    now = max(0, counter.amount - amount)
    lost = counter.reached > 0 and now < challenge.target
    return Retreat(Counter(now, counter.day, 0 if lost else counter.reached), lost)
