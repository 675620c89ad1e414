"""Something to reach within a time (PT-04): a calendar month, some days, or a campaign."""

from datetime import datetime
from typing import NamedTuple

from rules.accrual_periods import month_of
from rules.accrual_values import Challenge, Counter, Key


class Advance(NamedTuple):
    """A challenge after an event, and whether the event reached it."""

    counter: Counter
    reached: bool


def challenge_key(challenge: Challenge, local: datetime) -> Key:
    """The counter of a challenge at an instant of the program's clock."""
    timeless = challenge.days or challenge.window is not None
    period = "" if timeless else month_of(local)
    return Key(challenge.team, f"challenge:{challenge.name}", period)


def advance(challenge: Challenge, counter: Counter, amount: int, day: int) -> Advance:
    """Counts an amount on a day, by its ordinal. It is reached once in its time.

    A challenge of some days begins with its first event (`day` of the counter) and begins anew with
    the first event after its end; an event of a day before its beginning comes too late.
    """
    if challenge.days:
        if counter.day == 0 or day >= counter.day + challenge.days:
            counter = Counter(0, day, 0)
        elif day < counter.day:
            return Advance(counter, reached=False)
    now = counter.amount + amount
    reached = not counter.reached and now >= challenge.target
    return Advance(Counter(now, counter.day, counter.reached + reached), reached)


def retreat(challenge: Challenge, counter: Counter, amount: int, day: int) -> Advance:
    """Takes an amount of a day back; `reached` says that what was reached is reached no more."""
    if challenge.days and not counter.day <= day < counter.day + challenge.days:
        return Advance(counter, reached=False)
    now = max(0, counter.amount - amount)
    lost = counter.reached > 0 and now < challenge.target
    return Advance(Counter(now, counter.day, 0 if lost else counter.reached), lost)
