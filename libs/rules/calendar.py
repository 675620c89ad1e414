"""Months and days of the program's calendar: counted on the wall clock of its time zone."""

import calendar
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo


def add_months(instant: datetime, months: int, zone: ZoneInfo) -> datetime:
    """Returns the same wall time `months` later, or earlier when negative, in UTC.

    A day that the month does not have becomes its last day: 31 January plus one month is 28 or
    29 February. Raises ValueError outside the years 1 to 9999.
    """
    quarter, rest = _quarter(instant)
    return _add_months(quarter, months, zone) + rest


def add_days(instant: datetime, days: int, zone: ZoneInfo) -> datetime:
    """Returns the same wall time `days` later, or earlier when negative, in UTC."""
    quarter, rest = _quarter(instant)
    return _add_days(quarter, days, zone) + rest


def year_end(instant: datetime, years_later: int, zone: ZoneInfo) -> datetime:
    """Returns the midnight that ends the calendar year of an instant, or a later year, in UTC."""
    year = instant.astimezone(zone).year + years_later + 1
    return datetime(year, 1, 1, tzinfo=zone).astimezone(UTC)


def day_of(instant: datetime, zone: ZoneInfo) -> date:
    """Returns the calendar day of an instant, in the program's zone."""
    return instant.astimezone(zone).date()


def day_end(instant: datetime, days_later: int, zone: ZoneInfo) -> datetime:
    """Returns the midnight that ends the day of an instant, or a later day, in UTC."""
    day = instant.astimezone(zone).date() + timedelta(days=days_later + 1)
    return datetime(day.year, day.month, day.day, tzinfo=zone).astimezone(UTC)


def _quarter(instant: datetime) -> tuple[datetime, timedelta]:
    """The quarter of an hour that an instant lies in, and what is past of it.

    Zones change their offset at whole quarters only (before 1900 some did not; nobody earned points
    then), so that within one the answer moves along with the instant: it is worked out once.
    """
    minutes = instant.minute % 15
    rest = timedelta(minutes=minutes, seconds=instant.second, microseconds=instant.microsecond)
    return instant - rest, rest


@lru_cache(maxsize=4096)
def _add_months(instant: datetime, months: int, zone: ZoneInfo) -> datetime:
    local = instant.astimezone(zone)
    years, month0 = divmod(local.month - 1 + months, 12)
    year, month = local.year + years, month0 + 1
    day = local.day
    if day > 28:
        day = min(day, calendar.monthrange(year, month)[1])
    # fold 0: of a wall time that occurs twice the first one counts, for everybody alike.
    return local.replace(year=year, month=month, day=day, fold=0).astimezone(UTC)


@lru_cache(maxsize=4096)
def _add_days(instant: datetime, days: int, zone: ZoneInfo) -> datetime:
    return (instant.astimezone(zone) + timedelta(days=days)).replace(fold=0).astimezone(UTC)
