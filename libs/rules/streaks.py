"""Days in a row (PT-02): each day of the program's time zone counts once, a gap begins anew."""

from typing import NamedTuple

from rules.accrual_values import Counter, Streak


class Stride(NamedTuple):
    """A streak after an event, and whether the event completed it."""

    counter: Counter
    completed: bool


def stride(streak: Streak, counter: Counter, day: int) -> Stride:
    """Counts an event on a day, by its ordinal. `amount` is the days in a row up to `day`.

    An event of a day before the last one that counted comes too late to change anything. Who never
    completed it and is past its days, as a version asks for fewer, completes it now.
    """
    if day <= counter.day:
        return Stride(counter, completed=False)
    length = counter.amount + 1 if day == counter.day + 1 else 1
    past = length > streak.days and not counter.reached
    completed = length == streak.days or past or (streak.repeats and length % streak.days == 0)
    return Stride(Counter(length, day, counter.reached + completed), completed)


def days_standing(counter: Counter, today: int) -> int:
    """Days in a row that still stand on a day: today or yesterday must have counted."""
    return counter.amount if counter.day >= today - 1 else 0
