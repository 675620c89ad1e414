"""Counters held against the whole history, read anew each time: caps, streaks, challenges."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from accrual_programs import ZONE, Diary, local, program_of
from rules.accrual_values import Activity

RULES = """\
  rules:
    - {name: spend, points_per_unit: 1, caps: {week: 900}}
    - {name: check_in, event: check_in, fixed_points: 7, caps: {day: 10, month: 60, lifetime: 100}}
  streaks:
    - {name: three, event: check_in, days: 3, bonus_points: 5}
    - {name: pairs, event: check_in, days: 2, bonus_points: 1, repeats: true}
  challenges:
    - {name: month, measure: points, target: 500, calendar_month: true, bonus_points: 50}
    - {name: buyer, measure: spend, target: 300, events: [purchase], days: 5, bonus_points: 9}
"""
# Compiled here, and not within the time that an example may take.
program_of(RULES)
BEGIN = local("2026-10-25 00:00")
Happening = tuple[int, str, int]

# In the order of time, over the night that clocks are put back and the end of a month.
happenings = st.lists(
    st.tuples(
        st.integers(0, 14 * 24 * 60),
        st.sampled_from(["purchase", "check_in"]),
        st.integers(0, 60000),
    ),
    max_size=40,
).map(sorted)


def day_of(at: datetime) -> int:
    return at.astimezone(ZONE).toordinal()


class History:
    """All that has happened, asked anew each time."""

    def __init__(self) -> None:
        self.told: list[tuple[Activity, int]] = []

    def points(self, activity: Activity) -> int:
        """What an activity earns after all that was told before."""
        here = activity.at.astimezone(ZONE)
        same = [
            (one.at.astimezone(ZONE), points)
            for one, points in self.told
            if one.event == activity.event
        ]
        if activity.event == "purchase":
            week = sum(p for at, p in same if at.isocalendar()[:2] == here.isocalendar()[:2])
            return min((activity.amount_minor + 50) // 100, 900 - week)
        day = sum(p for at, p in same if at.date() == here.date())
        month = sum(p for at, p in same if (at.year, at.month) == (here.year, here.month))
        return max(0, min(7, 10 - day, 60 - month, 100 - sum(p for _, p in same)))

    def streak_bonuses(self, activity: Activity) -> list[str]:
        """Streaks that it completes: only the first check-in of a day can."""
        days = {day_of(one.at) for one, _ in self.told if one.event == "check_in"}
        today = day_of(activity.at)
        if activity.event != "check_in" or today in days:
            return []
        length = 1
        while today - length in days:
            length += 1
        return [*(["three"] if length == 3 else []), *(["pairs"] if length % 2 == 0 else [])]

    def challenge_bonuses(self, activity: Activity, points: int) -> list[str]:
        """Challenges that it reaches: by the sums before it and with it."""
        here = activity.at.astimezone(ZONE)
        month = sum(
            p
            for one, p in self.told
            if (t := one.at.astimezone(ZONE)) and (t.year, t.month) == (here.year, here.month)
        )
        reached = ["month"] if month < 500 <= month + points else []
        if activity.event == "purchase" and activity.amount_minor:
            before = self._spend_of_window(activity)
            reached += ["buyer"] if before < 30000 <= before + activity.amount_minor else []
        return reached

    def _spend_of_window(self, activity: Activity) -> int:
        bought = [(day_of(a.at), a.amount_minor) for a, _ in self.told if a.event == "purchase"]
        start, spend = None, 0
        for day, amount in [(d, m) for d, m in bought if m] + [(day_of(activity.at), 0)]:
            if start is None or day >= start + 5:
                start, spend = day, 0
            spend += amount
        return spend


@given(happened=happenings)
def test_pt_02_pt_04_counters_say_what_the_history_says(happened: Sequence[Happening]) -> None:
    diary, history = Diary(RULES), History()
    for minutes, event, amount in happened:
        at = BEGIN.astimezone(UTC) + timedelta(minutes=minutes)
        activity = Activity(event, at, amount if event == "purchase" else 0)
        expected = history.points(activity)
        accrued = diary.enter(activity)
        assert accrued.points == expected
        names = history.streak_bonuses(activity) + history.challenge_bonuses(activity, expected)
        assert sorted(bonus.name for bonus in accrued.bonuses) == sorted(names)
        history.told.append((activity, expected))
