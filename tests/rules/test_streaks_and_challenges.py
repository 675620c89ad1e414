"""Days in a row (PT-02) and things to reach within a time (PT-04)."""

from datetime import date, timedelta

import pytest

from accrual_programs import Diary, bought, did, program_of
from rules.accrual import Accrued
from rules.accrual_returns import NOTHING_LEFT, settle_kept, taken_back
from rules.accrual_values import Key
from rules.challenges import retreat

STREAK = """\
  rules:
    - {name: spend, points_per_unit: 1}
    - {name: check_in, event: check_in, fixed_points: 10, caps: {day: 10}}
  streaks:
    - {name: month_long, event: check_in, days: 30, bonus_points: 100, badge: faithful}
"""
MONTH = """\
  rules:
    - {name: spend, points_per_unit: 1}
  challenges:
    - {name: big_month, measure: points, target: 3000, calendar_month: true, bonus_points: 500}
"""
SPRINT = MONTH.replace("points, target: 3000", "spend, target: 100").replace(
    "calendar_month: true", "days: 7"
)


def days(first: str, count: int) -> list[str]:
    start = date.fromisoformat(first)
    return [f"{start + timedelta(days=i)} 09:00" for i in range(count)]


def bonuses(accrued: list[Accrued]) -> list[tuple[int, str, int, str]]:
    return [
        (number, bonus.name, bonus.points, bonus.badge)
        for number, one in enumerate(accrued, 1)
        for bonus in one.bonuses
    ]


def test_pt_02_30_days_in_a_row_give_the_badge_and_the_bonus_once() -> None:
    diary = Diary(STREAK)
    accrued = diary.all(did("check_in", day) for day in days("2026-10-15", 62))
    assert bonuses(accrued) == [(30, "month_long", 100, "faithful")]
    line = accrued[29].bonuses[0].line
    assert line.reason == "30 days in a row of check_in, up to 2026-11-13"
    assert accrued[29].points == 10
    assert accrued[29].points_with_bonuses == 110


def test_pt_02_a_streak_that_repeats_is_completed_every_30_days() -> None:
    diary = Diary(STREAK.replace("badge: faithful", "repeats: true"))
    accrued = diary.all(did("check_in", day) for day in days("2026-10-15", 62))
    assert [number for number, *_ in bonuses(accrued)] == [30, 60]


def test_pt_02_a_streak_made_shorter_is_completed_by_who_is_past_it() -> None:
    diary = Diary(STREAK)
    diary.all(did("check_in", day) for day in days("2026-11-01", 11))
    diary.program = program_of(STREAK.replace("days: 30", "days: 5"))
    more = diary.all(did("check_in", day) for day in days("2026-11-12", 9))
    assert bonuses(more) == [(1, "month_long", 100, "faithful")]


def test_pt_02_a_gap_resets_a_streak() -> None:
    diary = Diary(STREAK)
    visits = days("2026-10-01", 29) + days("2026-10-31", 30)
    assert [number for number, *_ in bonuses(diary.all(did("check_in", d) for d in visits))] == [59]


@pytest.mark.parametrize(
    ("first", "second", "in_a_row"),
    [
        # Either side of midnight are two days, in the program's time zone and not in UTC.
        ("2026-11-09 23:59", "2026-11-10 00:01", 2),
        ("2026-11-10 00:01", "2026-11-10 23:59", 1),
        # The day that clocks are put back has 25 hours, and is one day.
        ("2026-11-01 00:01", "2026-11-01 23:59", 1),
        ("2026-11-01 23:59", "2026-11-02 00:01", 2),
    ],
)
def test_pt_02_a_check_in_counts_once_a_day_of_the_programs_time_zone(
    first: str, second: str, in_a_row: int
) -> None:
    diary = Diary(STREAK)
    points = [diary.enter(did("check_in", at)).points for at in (first, second)]
    assert points == ([10, 10] if in_a_row == 2 else [10, 0])
    assert diary.progress[Key(False, "streak:month_long", "")].amount == in_a_row


def test_pt_02_a_day_counts_for_a_streak_only_when_its_condition_held_on_it() -> None:
    rules = STREAK.replace("days: 30", "days: 3, when: clock.hour < 12")
    diary = Diary(rules)
    mornings = [f"2026-11-{day} 11:59" for day in ("09", "10", "12", "13")]
    visits = sorted([*mornings, "2026-11-11 12:00", "2026-11-14 12:00", "2026-11-14 11:00"])
    accrued = diary.all(did("check_in", at) for at in visits)
    # The afternoon of the 11th is a gap; the morning of the 14th is the third in a row.
    assert [visits[number - 1] for number, *_ in bonuses(accrued)] == ["2026-11-14 11:00"]


def test_pt_02_a_visit_that_is_told_late_does_not_break_a_streak() -> None:
    diary = Diary(STREAK)
    diary.all(did("check_in", day) for day in days("2026-11-01", 5))
    before = diary.progress[Key(False, "streak:month_long", "")]
    diary.enter(did("check_in", "2026-11-02 18:00"))
    assert diary.progress[Key(False, "streak:month_long", "")] == before


def test_pt_04_3000_points_in_the_month_give_500_more_once() -> None:
    diary = Diary(MONTH)
    spent = [("2026-11-01", 299900), ("2026-11-20", 100), ("2026-11-30", 500000)]
    accrued = diary.all(bought(amount, f"{day} 12:00") for day, amount in spent)
    assert bonuses(accrued) == [(2, "big_month", 500, "")]
    assert accrued[1].bonuses[0].line.reason == "the member reached 3000 points in 2026-11"


def test_pt_04_every_month_begins_anew_in_the_programs_time_zone() -> None:
    diary = Diary(MONTH)
    times = ["2026-10-31 23:59", "2026-11-01 00:00", "2026-11-30 23:59", "2026-12-01 00:00"]
    assert bonuses(diary.all(bought(200000, at) for at in times)) == [(3, "big_month", 500, "")]


def test_pt_04_a_spend_within_days_begins_with_the_first_purchase() -> None:
    diary = Diary(SPRINT)
    spent = ["2026-11-01", "2026-11-08", "2026-11-14", "2026-11-15", "2026-11-21"]
    accrued = diary.all(bought(5000, f"{day} 12:00") for day in spent)
    # The 8th is past the seven days from the 1st and begins anew; the 15th does so again.
    assert [number for number, *_ in bonuses(accrued)] == [3, 5]


def test_pt_04_a_campaign_counts_between_its_dates_only() -> None:
    window = "window: {start: 2026-11-11, end: 2026-11-13}"
    diary = Diary(SPRINT.replace("days: 7", window))
    spent = ["2026-11-10 23:59", "2026-11-11 00:00", "2026-11-12 23:59", "2026-11-13 00:00"]
    assert [n for n, *_ in bonuses(diary.all(bought(5000, at) for at in spent))] == [3]


def test_pt_04_events_can_be_counted_under_a_condition() -> None:
    rules = MONTH.replace(
        "points, target: 3000",
        "count, target: 2, events: [purchase, review], when: clock.hour < 12",
    )
    diary = Diary(rules)
    done = [did("review", "2026-11-10 11:00"), did("review"), did("share", "2026-11-10 11:00")]
    done.append(bought(100, "2026-11-11 11:59"))
    assert [n for n, *_ in bonuses(diary.all(done))] == [4]


def test_pt_04_a_team_counts_together_and_nobody_counts_without_one() -> None:
    rules = MONTH.replace("bonus_points: 500", "bonus_points: 500, team: true")
    alone = Diary(rules)
    assert not bonuses(alone.all([bought(400000)]))
    ada, bob = Diary(rules, team_id="t"), Diary(rules, team_id="t")
    bob.progress = ada.progress
    assert not bonuses(ada.all([bought(200000)]))
    reached = bob.enter(bought(200000))
    assert reached.bonuses[0].team
    assert reached.points_with_bonuses == 2000  # the bonus goes to all of the team, on its own way


def test_pt_09_a_return_takes_back_caps_and_progress() -> None:
    rules = MONTH.replace("points_per_unit: 1", "points_per_unit: 1, caps: {month: 5000}")
    diary = Diary(rules)
    accrued = diary.enter(bought(400000))
    before = settle_kept(accrued.basis, 400000, 400000, None, diary.program)
    after = settle_kept(accrued.basis, 400000, 250000, None, diary.program)
    gone = taken_back(accrued.basis, before, after, 150000, False, diary.program)
    assert {(back.key.name, back.key.period, back.amount) for back in gone} == {
        ("cap:spend", "2026-11", 1500),
        ("challenge:big_month", "2026-11", 1500),
    }
    challenge = program_of(rules).accrual.challenges[0]
    counter = diary.progress[Key(False, "challenge:big_month", "2026-11")]
    lost = retreat(challenge, counter, 1500)
    assert (lost.counter.amount, lost.counter.reached, lost.lost) == (2500, 0, True)
    assert not retreat(challenge, counter, 1000).lost


def test_pt_09_a_whole_return_takes_back_that_there_was_a_purchase() -> None:
    rules = MONTH + "    - {name: two, measure: count, target: 2, calendar_month: true, badge: b}\n"
    diary = Diary(rules)
    accrued = diary.enter(bought(10000))
    before = settle_kept(accrued.basis, 10000, 10000, None, diary.program)
    gone = taken_back(accrued.basis, before, NOTHING_LEFT, 10000, True, diary.program)
    assert {(back.key.name, back.amount) for back in gone} == {
        ("challenge:big_month", 100),
        ("challenge:two", 1),
    }
