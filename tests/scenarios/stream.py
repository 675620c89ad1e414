"""What happens in a scenario, in the order of time."""

from dataclasses import dataclass
from datetime import datetime

HONEST = "honest"

PURCHASE = "purchase"
CHECK_IN = "check_in"
ORDER = "order"
GIFT = "gift"

LOG_IN = "log_in"
PROFILE_CHANGE = "profile_change"

Point = tuple[float, float]
"""Degrees north and degrees east."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where something comes from; what is unknown is empty."""

    channel: str = ""
    store: str = ""
    device: str = ""
    ip: str = ""
    card: str = ""
    staff: str = ""
    location: Point | None = None


@dataclass(frozen=True, slots=True)
class Enrolment:
    """A member joins, or is known with what points there are from before."""

    time: datetime
    member: str
    points: int = 0


@dataclass(frozen=True, slots=True)
class Report:
    """A member, or who claims to be, logs in or changes the profile."""

    time: datetime
    member: str
    activity: str
    place: Place


@dataclass(frozen=True, slots=True)
class Return:
    """An order comes back whole, and the points with it."""

    time: datetime
    member: str
    order: str
    cents: int
    points: int
    bought_time: datetime


@dataclass(frozen=True, slots=True)
class Deed:
    """Points are about to move; the label says whether it is fraud, the scenario which one."""

    time: datetime
    member: str
    scenario: str
    is_fraud: bool
    type: str
    points: int
    place: Place
    cents: int | None = None
    order: str = ""
    receiver: str = ""
    is_bound: bool = False
    """Whether no more can be spent than what the stream has brought in: what was held or refused
    before is not there, and without points nothing happens.
    """

    @property
    def is_redemption(self) -> bool:
        """Whether points are spent."""
        return self.type in (ORDER, GIFT)


Happening = Enrolment | Report | Return | Deed
