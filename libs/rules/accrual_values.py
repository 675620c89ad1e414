"""What the rules of earning are made of, what they look at, and what they leave behind.

Amounts of points inside of a decision are exact decimals; `EXACT` traps whatever would round.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Context, Inexact, InvalidOperation, Overflow, Rounded
from decimal import Decimal as Exact
from enum import IntEnum
from typing import NamedTuple

from rules.cel import Condition
from rules.values import ExpiryPolicy, Rounding, Tier

PURCHASE = "purchase"
# 20 coefficients of 8 digits, a tier and an amount of 16 digits fit well.
EXACT = Context(prec=300, traps=[Inexact, Rounded, InvalidOperation, Overflow])


class Stacking(IntEnum):
    """How coefficients or rules of a group go together; numbers as in the contract."""

    MULTIPLY = 1
    ADD = 2
    BEST = 3


class Measure(IntEnum):
    """What a challenge counts; numbers as in the contract."""

    POINTS = 1
    SPEND = 2
    COUNT = 3


@dataclass(frozen=True, slots=True)
class Window:
    """A stretch of time; the end is the first instant after it."""

    start: datetime
    end: datetime

    def holds(self, at: datetime) -> bool:
        """Whether an instant lies in it."""
        return self.start <= at < self.end


@dataclass(frozen=True, slots=True)
class Group:
    """How what names the group goes together; no `factor_max` is no limit."""

    name: str
    stacking: Stacking
    factor_max: Exact | None


@dataclass(frozen=True, slots=True, eq=False)
class Coefficient:
    """A factor and where it applies; everything stated must hold."""

    name: str
    factor: Exact
    text: str
    group: str
    condition: Condition | None
    categories: frozenset[str]
    from_purchase: int
    price_min_minor: int | None
    price_below_minor: int | None
    tiers: frozenset[str]
    window: Window | None
    birthday_month: bool
    month_days: frozenset[int]
    card: str

    @property
    def by_category(self) -> bool:
        """Whether it looks at the categories of lines."""
        return bool(self.categories or self.from_purchase)

    @property
    def by_line(self) -> bool:
        """Whether it is bound to lines, and so to what the rate gives for them."""
        prices = (self.price_min_minor, self.price_below_minor)
        return self.by_category or prices != (None, None)


@dataclass(frozen=True, slots=True)
class Caps:
    """The most points of a rule for one member; 0 is no limit."""

    event: int
    day: int
    week: int
    month: int
    lifetime: int
    reference: int


@dataclass(frozen=True, slots=True, eq=False)
class AccrualRule:
    """A rule of any kind; `rate` is points for one minor unit."""

    name: str
    event: str
    condition: Condition | None
    rate: Exact
    rate_text: str
    fixed: int
    ladder_minor: int
    ladder_points: int
    ladder_text: str
    tier_multiplier: bool
    coefficients: tuple[Coefficient, ...]
    caps: Caps | None
    group: str
    rounding: Rounding | None
    pending_days: int | None
    expiry: ExpiryPolicy | None
    window: Window | None

    @property
    def rounded_alone(self) -> bool:
        """Whether it gives whole points before the sum."""
        return self.caps is not None or self.rounding is not None


@dataclass(frozen=True, slots=True, eq=False)
class Streak:
    """Days in a row of one event."""

    name: str
    event: str
    condition: Condition | None
    days: int
    bonus_points: int
    badge: str
    repeats: bool


@dataclass(frozen=True, slots=True, eq=False)
class Challenge:
    """Something to reach: within a month, or `days`, or a window.

    `target` counts points, minor units or events; no `events` means all.
    """

    name: str
    measure: Measure
    target: int
    events: frozenset[str]
    condition: Condition | None
    days: int
    window: Window | None
    bonus_points: int
    badge: str
    team: bool

    def listens_to(self, event: str) -> bool:
        """Whether events of a type can count."""
        return not self.events or event in self.events


@dataclass(frozen=True, slots=True)
class OrderLine:
    """A line of a purchase, in minor units; what was paid for it, and the price of one piece."""

    line_id: str
    category: str = ""
    product: str = ""
    quantity: int = 1
    unit_price_minor: int | None = None
    amount_minor: int = 0


@dataclass(frozen=True, slots=True)
class Activity:
    """What a member did: a purchase with its amount of 0 or more, or anything else."""

    event: str
    at: datetime
    amount_minor: int = 0
    categories: tuple[str, ...] = ()
    lines: tuple[OrderLine, ...] = ()
    channel: str = ""
    store: str = ""
    attributes: tuple[tuple[str, str], ...] = ()
    reference: str = ""


@dataclass(frozen=True, slots=True)
class MemberFacts:
    """What is known of a member at the time of the activity; 0, None and `` when it is not."""

    tier: Tier | None = None
    birth_month: int = 0
    enrol_time: datetime | None = None
    cards: tuple[str, ...] = ()
    team_id: str = ""


class Key(NamedTuple):
    """Names a counter; its owner is the member, or the member's team."""

    team: bool
    name: str
    period: str


class Counter(NamedTuple):
    """What was counted, up to which day (or from which, for a challenge of days), times reached."""

    amount: int = 0
    day: int = 0
    reached: int = 0


NOTHING = Counter()
Progress = Mapping[Key, Counter]
