"""What is remembered of a member, and how it changes; the latest by its own time holds (AF-02).

Nothing here grows without bound: the latest 32 devices, a running mean and deviation for each kind
of operation, refunds by day for 90 days.
"""

import math
from dataclasses import dataclass, field
from typing import Any, NamedTuple

DAY_US = 86_400_000_000
DEVICES_MAX = 32
REFUND_DAYS = 90
# What jsonb and every language read as a whole number.
SPEND_MAX = 2**53 - 1

STATUSES = ("", "active", "frozen", "closed")
ACTIVE, FROZEN, CLOSED = 1, 2, 3


class Place(NamedTuple):
    """Where a member was last."""

    at_us: int
    latitude: float
    longitude: float


class Series(NamedTuple):
    """How many operations there were, and the mean and the sum of squared deviations of each value.

    One value at a time, after B. P. Welford, Note on a method for calculating corrected sums of
    squares and products, Technometrics 4 (1962), 419-420.
    """

    number: int = 0
    points_mean: float = 0.0
    points_m2: float = 0.0
    amount_mean: float = 0.0
    amount_m2: float = 0.0

    def with_one(self, points: int, amount_minor: int) -> "Series":
        """With one operation more."""
        number = self.number + 1
        points_off, amount_off = points - self.points_mean, amount_minor - self.amount_mean
        points_mean = self.points_mean + points_off / number
        amount_mean = self.amount_mean + amount_off / number
        return Series(
            number,
            points_mean,
            self.points_m2 + points_off * (points - points_mean),
            amount_mean,
            self.amount_m2 + amount_off * (amount_minor - amount_mean),
        )

    def deviation(self, m2: float) -> float:
        """The standard deviation of a sample, over n - 1; 0 below two operations."""
        return math.sqrt(m2 / (self.number - 1)) if self.number > 1 else 0.0


NO_SERIES = Series()


class Refunds(NamedTuple):
    """Thousandths of the currency's unit spent and returned on a day, and how many returns."""

    earned: int = 0
    returned: int = 0
    number: int = 0


@dataclass(slots=True)
class Profile:
    """A member; times are microseconds since 1970, None where nothing is known."""

    enrolled_us: int | None = None
    status: tuple[int, int] | None = None
    """(since when, which of STATUSES)"""
    tags: tuple[int, list[str]] | None = None
    """(since when, sorted)"""
    changed_us: int | None = None
    login_us: int | None = None
    first_device_us: int | None = None
    """When the first device of all was first used; it may be forgotten itself."""
    devices: dict[str, tuple[int, int]] = field(default_factory=dict)
    """(first used, last used)"""
    place: Place | None = None
    history: dict[int, Series] = field(default_factory=dict)
    """By kind of operation."""
    refunds: dict[int, Refunds] = field(default_factory=dict)
    """By day since 1970."""

    def enrol(self, at_us: int) -> None:
        """Notes the enrolment; the earliest holds."""
        self.enrolled_us = at_us if self.enrolled_us is None else min(self.enrolled_us, at_us)

    def set_status(self, at_us: int, status: int) -> None:
        """Notes what became of the account; of the same moment the stricter holds."""
        self.status = max(self.status or (at_us, status), (at_us, status))

    def set_tags(self, at_us: int, tags: list[str]) -> None:
        """Replaces the tags."""
        self.tags = max(self.tags or (at_us, tags), (at_us, tags))

    def change(self, at_us: int) -> None:
        """Notes a change of the profile."""
        self.changed_us = _latest(self.changed_us, at_us)

    def log_in(self, at_us: int) -> None:
        """Notes a log-in."""
        self.login_us = _latest(self.login_us, at_us)

    def use_device(self, at_us: int, device: str) -> None:
        """Notes the use of a device; of more than 32 the one that is idle longest is forgotten."""
        first_us, last_us = self.devices.get(device, (at_us, at_us))
        self.devices[device] = (min(first_us, at_us), max(last_us, at_us))
        known_us = self.first_device_us
        self.first_device_us = at_us if known_us is None else min(known_us, at_us)
        if len(self.devices) > DEVICES_MAX:
            idle = min(self.devices, key=lambda name: (self.devices[name][1], name))
            del self.devices[idle]

    def be_at(self, place: Place) -> None:
        """Notes where the member was."""
        self.place = max(self.place or place, place)

    def operate(self, kind: int, points: int, amount_minor: int) -> None:
        """Counts an operation that took effect."""
        series = self.history.get(kind, NO_SERIES)
        self.history[kind] = series.with_one(points, amount_minor)

    def spend(self, at_us: int, earned: int, returned: int) -> None:
        """Counts what was spent or returned; days 90 behind the latest are forgotten."""
        day = at_us // DAY_US
        known = self.refunds.get(day, Refunds())
        self.refunds[day] = Refunds(
            min(known.earned + earned, SPEND_MAX),
            min(known.returned + returned, SPEND_MAX),
            known.number + (returned > 0),
        )
        oldest = max(self.refunds) - REFUND_DAYS
        self.refunds = {day: one for day, one in self.refunds.items() if day > oldest}

    @property
    def is_known(self) -> bool:
        """Whether anybody but the operations themselves has told of the member."""
        told = (self.enrolled_us, self.tags, self.changed_us, self.login_us)
        return any(one is not None for one in told)


def profile_of(state: dict[str, Any]) -> Profile:
    """A profile as it is stored."""
    get = state.get
    status, tags, place = get("status"), get("tags"), get("place")
    return Profile(
        enrolled_us=get("enrolled"),
        status=(status[0], status[1]) if status else None,
        tags=(tags[0], tags[1]) if tags else None,
        changed_us=get("changed"),
        login_us=get("login"),
        first_device_us=get("first_device"),
        devices={name: (first, last) for name, first, last in get("devices", ())},
        place=Place(*place) if place else None,
        history={int(kind): Series(*series) for kind, series in get("history", {}).items()},
        refunds={day: Refunds(*refunds) for day, *refunds in get("refunds", ())},
    )


def state_of(profile: Profile) -> dict[str, Any]:
    """What is stored of a profile: only what is known."""
    state = {
        "enrolled": profile.enrolled_us,
        "status": profile.status,
        "tags": profile.tags,
        "changed": profile.changed_us,
        "login": profile.login_us,
        "first_device": profile.first_device_us,
        "devices": [(name, *times) for name, times in profile.devices.items()],
        "place": tuple(profile.place) if profile.place else None,
        "history": {str(kind): tuple(series) for kind, series in profile.history.items()},
        "refunds": [(day, *refunds) for day, refunds in profile.refunds.items()],
    }
    return {name: value for name, value in state.items() if value not in (None, [], {})}


def _latest(known_us: int | None, at_us: int) -> int:
    return at_us if known_us is None else max(known_us, at_us)
