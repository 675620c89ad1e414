"""Months and days on the wall clock of the program's time zone; when points mature and end."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rules.calendar import add_days, add_months, year_end
from rules.compiled import CompiledProgram
from rules.expiry import expire_time, mature_time, restored_expire_time
from rules.values import Never, RollingMonths, YearEnd

Compile = Callable[..., CompiledProgram]
NEW_YORK = ZoneInfo("America/New_York")
# Clocks that change at midnight, by half an hour, or that skipped a whole day are among them.
ZONES = (
    "UTC", "America/New_York", "Europe/Berlin", "America/Havana", "America/Sao_Paulo",
    "Pacific/Kiritimati", "Pacific/Apia", "Australia/Lord_Howe", "Asia/Kathmandu",
)  # fmt: skip


def local(text: str, fold: int = 0) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=NEW_YORK, fold=fold)


@pytest.mark.parametrize(
    ("start", "months", "end"),
    [
        ("1997-01-31T10:00", 1, "1997-02-28T10:00"),
        ("1996-01-31T10:00", 1, "1996-02-29T10:00"),
        ("1996-02-29T10:00", 12, "1997-02-28T10:00"),
        ("1997-03-31T10:00", -1, "1997-02-28T10:00"),
        ("1997-12-15T23:59:59", 1, "1998-01-15T23:59:59"),
        ("1997-01-15T00:00", -13, "1995-12-15T00:00"),
        # Clocks go forward on 6 April 1997 at 2:00, and back on 26 October at 2:00.
        ("1997-01-06T02:30", 3, "1997-04-06T03:30"),
        ("1997-03-26T12:00", 7, "1997-10-26T12:00"),
        ("1997-09-26T01:30", 1, "1997-10-26T01:30"),
    ],
)
def test_months_are_added_on_the_wall_clock_and_end_with_the_month(
    start: str, months: int, end: str
) -> None:
    found = add_months(local(start), months, NEW_YORK)
    assert found.tzinfo is UTC
    assert found == local(end).astimezone(UTC)


def test_an_hour_that_occurs_twice_means_the_first_one() -> None:
    second = local("1997-10-26T01:30", fold=1)
    assert add_days(second, 0, NEW_YORK) == second.astimezone(UTC) - timedelta(hours=1)


def test_days_are_added_on_the_wall_clock() -> None:
    found = add_days(local("1997-04-05T12:00"), 1, NEW_YORK)
    assert found == local("1997-04-06T12:00").astimezone(UTC)
    assert found - local("1997-04-05T12:00").astimezone(UTC) == timedelta(hours=23)


instants = st.integers(0, 3 * 10**9).map(lambda seconds: datetime.fromtimestamp(seconds, UTC))


@given(instants, st.integers(1, 120))
def test_more_months_are_never_earlier(instant: datetime, months: int) -> None:
    fewer, more = (add_months(instant, n, NEW_YORK) for n in (months - 1, months))
    assert timedelta(days=27) < more - fewer < timedelta(days=33)


def test_points_mature_after_the_return_window_and_expire_after_their_months(
    program: CompiledProgram,
) -> None:
    earned = local("1997-01-31T10:00")
    assert mature_time(earned, program) == local("1997-02-14T10:00").astimezone(UTC)
    assert expire_time(earned, program) == local("1998-01-31T10:00").astimezone(UTC)


def test_points_can_be_active_at_once_and_live_for_ever(compiled: Compile) -> None:
    at_once, for_ever = ("pending_days: 14", "pending_days: 0"), ("ing_months: 12", "ing_months: 0")
    program = compiled(at_once, for_ever)
    assert mature_time(local("1997-01-31T10:00"), program) is None
    assert expire_time(local("1997-01-31T10:00"), program) is None


def test_refunded_points_keep_their_end_or_get_the_floor(program: CompiledProgram) -> None:
    refunded = local("1997-06-01T10:00")
    floor = local("1997-07-01T10:00").astimezone(UTC)
    soon, late = floor - timedelta(days=1), floor + timedelta(days=1)
    assert restored_expire_time(soon, refunded, program) == floor
    assert restored_expire_time(late, refunded, program) == late
    assert restored_expire_time(None, refunded, program) is None


@pytest.mark.parametrize(
    ("earned", "years_later", "end"),
    [
        ("1997-01-01T00:00", 0, "1998-01-01T00:00"),
        ("1997-07-15T12:00", 0, "1998-01-01T00:00"),
        ("1997-12-31T23:59:59", 0, "1998-01-01T00:00"),
        ("1998-01-01T00:00", 0, "1999-01-01T00:00"),
        ("1997-12-31T23:59:59", 1, "1999-01-01T00:00"),
    ],
)
def test_a_calendar_year_ends_at_midnight_in_the_zone_of_the_program(
    earned: str, years_later: int, end: str
) -> None:
    """PT-06: in New York the year ends at 5:00 of UTC; that decides whose points it ends."""
    assert year_end(local(earned), years_later, NEW_YORK) == local(end).astimezone(UTC)


def test_a_rule_may_have_another_expiry_than_the_program(compiled: Compile) -> None:
    """PT-06: never, end of the year (or of the next), rolling months; old documents stay valid."""
    earned = local("1997-06-15T10:00")
    old = compiled()
    assert old.expiry.policy == RollingMonths(12)
    assert expire_time(earned, old, Never()) is None
    assert expire_time(earned, old, RollingMonths(1)) == local("1997-07-15T10:00").astimezone(UTC)
    for text, policy in (
        ("policy: {never: true}", Never()),
        ("policy: {year_end: same_year}", YearEnd(0)),
        ("policy: {year_end: next_year}", YearEnd(1)),
        ("policy: {rolling_months: 3}", RollingMonths(3)),
        ("rolling_months: 0", Never()),
    ):
        program = compiled(("  rolling_months: 12", "  " + text))
        assert program.expiry.policy == policy
        assert expire_time(earned, program) == expire_time(earned, old, policy)


@given(instants, st.integers(1, 120), st.sampled_from(ZONES))
def test_pt_06_no_change_of_the_clocks_ends_points_a_day_early(
    earned: datetime, months: int, zone_name: str
) -> None:
    """Whatever the clocks do in between, the last day is the one that the calendar says."""
    zone = ZoneInfo(zone_name)
    begin, end = earned.astimezone(zone), add_months(earned, months, zone).astimezone(zone)
    assert (end.year * 12 + end.month) - (begin.year * 12 + begin.month) in (months, months + 1)
    assert end.day == begin.day or (end + timedelta(days=1)).day <= 2
    last = year_end(earned, 0, zone).astimezone(zone)
    assert (last.year, last.month, last.day) == (begin.year + 1, 1, 1)
    assert (last - timedelta(microseconds=1)).astimezone(zone).year == begin.year


def test_refunded_points_expire_by_the_policy_of_the_program(compiled: Compile) -> None:
    """PT-08: as they would have, with a floor, or as if earned now; never sooner."""
    refunded, soon = local("1997-06-01T10:00"), local("1997-06-02T10:00").astimezone(UTC)
    floor = "  restored_days_min: 30"
    original = compiled((floor, "  restored: original"))
    assert restored_expire_time(soon, refunded, original) == soon
    fresh = compiled((floor, "  restored: fresh"))
    year = local("1998-06-01T10:00").astimezone(UTC)
    assert restored_expire_time(soon, refunded, fresh) == year
    late = year + timedelta(days=1)
    assert restored_expire_time(late, refunded, fresh) == late
    for_ever = compiled((floor, "  restored: fresh"), ("ing_months: 12", "ing_months: 0"))
    assert restored_expire_time(soon, refunded, for_ever) is None
