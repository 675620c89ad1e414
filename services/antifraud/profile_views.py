"""What a profile shows to the rules at the moment of an operation (AF-02)."""

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from antifraud.profile import ACTIVE, DAY_US, NO_SERIES, REFUND_DAYS, STATUSES, Profile, Series
from antifraud.series import REORDER_US, SECOND_US
from rules.fraud_rules import FraudFacts
from rules.profile_facts import NEVER_MINUTES

MINUTE_US = 60 * SECOND_US
HOUR_US = 60 * MINUTE_US
# The mean radius of the International Union of Geodesy and Geophysics.
EARTH_RADIUS_KM = 6371.0088


class Moment(NamedTuple):
    """An operation that is about to take effect."""

    at_us: int
    facts: FraudFacts
    scale: int
    """Minor units in a unit of the currency."""


View = Callable[[Profile, Moment], Any]


def distance_km(latitude: float, longitude: float, latitude_2: float, longitude_2: float) -> float:
    """The great-circle distance between two places given in degrees, on a sphere.

    The haversine formula: R. W. Sinnott, Virtues of the Haversine, Sky and Telescope 68 (1984),
    159.
    """
    lower, upper = math.radians(latitude), math.radians(latitude_2)
    aside = math.radians(longitude_2 - longitude)
    chord = (
        math.sin((upper - lower) / 2) ** 2
        + math.cos(lower) * math.cos(upper) * math.sin(aside / 2) ** 2
    )
    return 2 * EARTH_RADIUS_KM * math.asin(min(1.0, math.sqrt(chord)))


def minutes_since(at_us: int, then_us: int | None) -> int:
    """Whole minutes; what happened later than the operation has not happened yet."""
    if then_us is None or then_us > at_us + REORDER_US:
        return NEVER_MINUTES
    return min(max(at_us - then_us, 0) // MINUTE_US, NEVER_MINUTES)


def _age_days(profile: Profile, moment: Moment) -> int:
    if profile.enrolled_us is None:
        return -1
    return max(moment.at_us - profile.enrolled_us, 0) // DAY_US


def _status(profile: Profile, _: Moment) -> str:
    if profile.status is not None:
        return STATUSES[profile.status[1]]
    return STATUSES[ACTIVE] if profile.enrolled_us is not None else ""


def _new_device(profile: Profile, moment: Moment) -> int:
    oldest_us = profile.first_device_us
    if oldest_us is None:
        return NEVER_MINUTES
    device, until_us = moment.facts.device, moment.at_us + REORDER_US
    # The very first device is not new, and the one that the operation itself brings may be.
    if device and device not in profile.devices and oldest_us < moment.at_us:
        return 0
    firsts = (first for first, _ in profile.devices.values() if oldest_us < first <= until_us)
    return minutes_since(moment.at_us, max(firsts, default=None))


def _device_age(profile: Profile, moment: Moment) -> int:
    device = moment.facts.device
    if not device:
        return NEVER_MINUTES
    known = profile.devices.get(device)
    if known is None or known[0] > moment.at_us:
        return 0
    return minutes_since(moment.at_us, known[0])


def _series(profile: Profile, moment: Moment) -> Series:
    return profile.history.get(moment.facts.operation.value, NO_SERIES)


def _points_deviation(profile: Profile, moment: Moment) -> float:
    series = _series(profile, moment)
    return series.deviation(series.points_m2)


def _amount_deviation(profile: Profile, moment: Moment) -> float:
    series = _series(profile, moment)
    return series.deviation(series.amount_m2) / moment.scale


def _km(profile: Profile, moment: Moment) -> float:
    place, facts = profile.place, moment.facts
    if place is None or facts.latitude is None or facts.longitude is None:
        return 0.0
    return distance_km(place.latitude, place.longitude, facts.latitude, facts.longitude)


def _kmh(profile: Profile, moment: Moment) -> float:
    if profile.place is None:
        return 0.0
    # At least a minute: what one position is off another must not look like a flight.
    passed_us = max(abs(moment.at_us - profile.place.at_us), MINUTE_US)
    return _km(profile, moment) * HOUR_US / passed_us


def _refunds(profile: Profile, moment: Moment) -> tuple[int, int, int]:
    today = moment.at_us // DAY_US
    days = [one for day, one in profile.refunds.items() if today - REFUND_DAYS < day <= today]
    return (
        sum(day.earned for day in days),
        sum(day.returned for day in days),
        sum(day.number for day in days),
    )


def _refund_ratio(profile: Profile, moment: Moment) -> float:
    earned, returned, _ = _refunds(profile, moment)
    # What was earned may lie further back than what was returned.
    return returned / max(earned, returned) if returned else 0.0


VIEWS: Mapping[str, View] = MappingProxyType(
    {
        "member.known": lambda profile, _: profile.is_known,
        "member.age_days": _age_days,
        "member.status": _status,
        "member.tags": lambda profile, _: profile.tags[1] if profile.tags else [],
        "member.minutes_since_profile_change": lambda profile, moment: minutes_since(
            moment.at_us, profile.changed_us
        ),
        "member.minutes_since_login": lambda profile, moment: minutes_since(
            moment.at_us, profile.login_us
        ),
        "member.minutes_since_new_device": _new_device,
        "request.device_age_minutes": _device_age,
        "history.count": lambda profile, moment: _series(profile, moment).number,
        "history.points_mean": lambda profile, moment: _series(profile, moment).points_mean,
        "history.points_deviation": _points_deviation,
        "history.amount_mean": lambda profile, moment: (
            _series(profile, moment).amount_mean / moment.scale
        ),
        "history.amount_deviation": _amount_deviation,
        "travel.km": _km,
        "travel.kmh": _kmh,
        "member.refund_ratio": _refund_ratio,
        "member.refund_count": lambda profile, moment: _refunds(profile, moment)[2],
    }
)
