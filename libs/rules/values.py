"""The parts of a compiled program: frozen values, decimals as scaled whole numbers.

A name ending in `_minor` counts the currency's smallest unit; one ending in `_e4` is times 10**4.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import Enum, IntEnum

from rules.cel import Condition


class Rounding(Enum):
    """How a fraction of a point is rounded; numbers as in the contract."""

    HALF_UP = 1
    DOWN = 2


class Operation(IntEnum):
    """What anti-fraud looks at; numbers as in the contract."""

    ACCRUAL = 1
    REDEMPTION = 2


class Action(IntEnum):
    """What anti-fraud decides, strictest last; numbers as in the contract."""

    ALLOW = 1
    REVIEW = 2
    CHALLENGE = 4
    DENY = 3


_STRICTNESS = {action: place for place, action in enumerate(Action)}


def strictness(action: Action) -> int:
    """The place of an action among all; the strictest has the highest."""
    return _STRICTNESS[action]


class FallbackPolicy(IntEnum):
    """What is done with an operation that no decision can be had about; numbers as in the
    contract.
    """

    REFUSE = 1
    PEND = 2


class Trigger(IntEnum):
    """The event that a message is sent on; numbers as in the contract."""

    TIER_UP = 1
    POINTS_EXPIRING = 2


class Channel(IntEnum):
    """A way to reach a member; numbers as in the contract."""

    INBOX = 1
    EMAIL = 2


@dataclass(frozen=True, slots=True)
class Tier:
    """A step of the ladder; rank 0 is the lowest."""

    id: str
    name: str
    rank: int
    qualify_minor: int
    retain_minor: int
    multiplier: str
    multiplier_e4: int


@dataclass(frozen=True, slots=True)
class EarnRule:
    """Points for spend; without a condition it always applies."""

    name: str
    condition: Condition | None
    per_unit: str
    per_unit_e6: int
    tier_multiplier: bool
    reason: str


@dataclass(frozen=True, slots=True)
class RollingMonths:
    """Points expire so many months after they were earned."""

    months: int


@dataclass(frozen=True, slots=True)
class YearEnd:
    """Points expire with the calendar year; `years_later` 0 is the one they were earned in."""

    years_later: int


@dataclass(frozen=True, slots=True)
class Never:
    """Points do not expire."""


ExpiryPolicy = RollingMonths | YearEnd | Never


class Restored(IntEnum):
    """When refunded points expire; numbers as in the contract."""

    ORIGINAL = 1
    ORIGINAL_OR_FLOOR = 2
    FRESH = 3


class Shortfall(IntEnum):
    """How a member makes up for points that are gone; numbers as in the contract."""

    DEBT = 1
    CASH = 2


@dataclass(frozen=True, slots=True)
class Returns:
    """What becomes of points that a return takes back and the member no longer has; 0 points are no
    bound of the debt, 0 days no end of it.
    """

    shortfall: Shortfall
    debt_points_max: int
    debt_days: int


@dataclass(frozen=True, slots=True)
class Expiry:
    """How points end, unless a rule says otherwise. Warning days are longest first."""

    policy: ExpiryPolicy
    warning_days: tuple[int, ...]
    restored_days_min: int
    restored: Restored


@dataclass(frozen=True, slots=True)
class PromotionWindow:
    """A stretch of time in which some points of each member and day are worth more; the end is the
    first instant after it.
    """

    name: str
    start: datetime
    end: datetime
    factor: str
    factor_e4: int
    member_day_points_max: int


@dataclass(frozen=True, slots=True)
class Redemption:
    """How points are spent; `per_unit` points pay 1.00 of the currency."""

    per_unit: int
    share_max: str
    share_max_e6: int
    points_min: int
    hold_minutes: int
    quote_minutes: int
    points_step: int
    windows: tuple[PromotionWindow, ...] = ()

    def window_at(self, at: datetime) -> PromotionWindow | None:
        """The promotion window of an instant, of which there is one at most."""
        for window in self.windows:
            if window.start <= at < window.end:
                return window
        return None


@dataclass(frozen=True, slots=True)
class Gifts:
    """What members may give to each other."""

    share_max: str
    share_max_e6: int
    month_points_max: int
    fee_share: str
    fee_share_e6: int


@dataclass(frozen=True, slots=True)
class Donations:
    """What members may donate; `per_unit` points give 1.00 of the currency."""

    per_unit: int
    causes: frozenset[str]


@dataclass(frozen=True, slots=True)
class Adjustments:
    """What one operator may adjust alone."""

    alone_points_max: int


@dataclass(frozen=True, slots=True)
class Households:
    """How large a household is, and what a child may spend in a month."""

    members_max: int
    child_month_points_max: int


@dataclass(frozen=True, slots=True)
class TierDiscount:
    """A percentage off every order of the members of one tier."""

    id: str
    name: str
    tier_id: str
    percent: str
    percent_e2: int


@dataclass(frozen=True, slots=True)
class UpgradeCoupon:
    """An amount off one order, given when a tier is reached."""

    id: str
    name: str
    tier_id: str
    amount_minor: int
    order_min_minor: int
    valid_days: int


Benefit = TierDiscount | UpgradeCoupon


@dataclass(frozen=True, slots=True)
class MessageRule:
    """A message for an event; subject and body hold `${variable}`."""

    name: str
    trigger: Trigger
    channels: tuple[Channel, ...]
    subject: str
    body: str


class ReactionKind(IntEnum):
    """What anti-fraud does beyond one operation; numbers as in the contract."""

    FREEZE_ACCOUNT = 1
    EARN_ONLY = 2
    DENY_LIST = 3
    WATCH_LIST = 4
    CAP_POINTS = 5
    DEMOTE = 6


class FraudKey(IntEnum):
    """What anti-fraud knows operations by; numbers as in the contract."""

    MEMBER = 1
    DEVICE = 2
    IP = 3
    CARD = 4
    STORE = 5


@dataclass(frozen=True, slots=True)
class Reaction:
    """What a rule does when it fires, beyond the operation; without days it has no end."""

    kind: ReactionKind
    key: FraudKey
    duration_days: int
    points: int
    tier_id: str = ""
    """The highest tier that a demoted member counts as; empty for the lowest."""


@dataclass(frozen=True, slots=True)
class FraudRule:
    """A condition that asks for an action and adds to the score."""

    name: str
    operations: frozenset[Operation]
    condition: Condition
    action: Action
    score: int
    shadow: bool = False
    """Whether it is recorded and decides nothing."""
    reactions: tuple[Reaction, ...] = ()


@dataclass(frozen=True, slots=True)
class StepUp:
    """What is asked of a member before a challenged operation goes through; 0 points challenge no
    redemption by its size.
    """

    redemption_points_above: int
    code_seconds: int
    tries_max: int
    sends_max: int
    resend_after_seconds: int
    channels: tuple[Channel, ...]
    subject: str
    body: str
    verifier: str
    day_sends_max: int
    challenges_max: int


class Period(IntEnum):
    """The period of a leaderboard; numbers as in the contract."""

    DAY = 1
    WEEK = 2
    MONTH = 3
    YEAR = 4
    ALL = 5


@dataclass(frozen=True, slots=True)
class Leaderboards:
    """The leaderboards that are kept (PT-13)."""

    periods: frozenset[Period]
    by_region: bool
