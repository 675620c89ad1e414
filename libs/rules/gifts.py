"""What members may give to each other, and what it costs."""

from datetime import date, datetime
from math import gcd
from zoneinfo import ZoneInfo

from rules.values import Donations, Gifts

_E6 = 10**6


def gift_points_max(active: int, gifts: Gifts) -> int:
    """Returns the most points that one gift may be of so many active ones, rounded down (PT-11)."""
    return active * gifts.share_max_e6 // _E6


def gift_fee(points: int, gifts: Gifts) -> int:
    """Returns the part of a gift that is kept as a fee, in whole points, a half up (PT-11)."""
    return (points * gifts.fee_share_e6 * 2 + _E6) // (2 * _E6)


def donation_minor(points: int, digits: int, donations: Donations) -> int | None:
    """Returns what points give to a cause, in minor units; None where that is not whole (PT-11)."""
    minor, rest = divmod(points * 10**digits, donations.per_unit)
    return None if rest else minor


def donation_step(digits: int, donations: Donations) -> int:
    """Returns the fewest points that give a whole number of minor units."""
    return donations.per_unit // gcd(donations.per_unit, 10**digits)


def month_of(instant: datetime, zone: ZoneInfo) -> date:
    """Returns the first day of the calendar month of an instant, in the program's zone."""
    return instant.astimezone(zone).date().replace(day=1)
