"""What members hold: values, and what can be said of them at an instant."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from uuid import UUID

from rules.benefits import AmountOff, PercentOff, Usable
from rules.money import decimal_text


class Kind(Enum):
    """What an entitlement is."""

    TIER_DISCOUNT = "TIER_DISCOUNT"
    UPGRADE_COUPON = "UPGRADE_COUPON"


class State(Enum):
    """Where an entitlement stands."""

    AVAILABLE = "AVAILABLE"
    RESERVED = "RESERVED"
    REDEEMED = "REDEEMED"
    EXPIRED = "EXPIRED"
    WITHDRAWN = "WITHDRAWN"


@dataclass(frozen=True, slots=True)
class Entitlement:
    """A benefit in the hands of a member, with the terms that it was given under.

    A tier discount has `percent_off_e2` (5 % is 500) and no expiry, a coupon both amounts and one.
    """

    member_id: str
    entitlement_id: UUID
    benefit_id: str
    name: str
    kind: Kind
    state: State
    percent_off_e2: int | None
    amount_off_minor: int | None
    order_amount_min_minor: int | None
    currency: str
    currency_digits: int
    create_time: datetime
    expire_time: datetime | None
    cause_event_id: UUID
    program_version: int
    order_id: str

    @property
    def single_use(self) -> bool:
        """Whether one order uses it up."""
        return self.kind is Kind.UPGRADE_COUPON

    def terms(self) -> PercentOff | AmountOff:
        """What it takes off an order."""
        if self.percent_off_e2 is not None:
            return PercentOff(decimal_text(self.percent_off_e2, 2), self.percent_off_e2)
        return AmountOff(self.amount_off_minor or 0, self.order_amount_min_minor or 0)


def state_at(held: Entitlement, now: datetime) -> State:
    """The state at an instant: a coupon ends by time, whether or not the sweeper has come by."""
    ended = held.expire_time is not None and held.expire_time <= now
    return State.EXPIRED if ended and held.state is State.AVAILABLE else held.state


def why_not_usable(held: Entitlement, currency: str, now: datetime) -> str:
    """Why it cannot be used for an order in a currency, in words; empty when it can."""
    match state_at(held, now):
        case State.AVAILABLE:
            if held.currency == currency:
                return ""
            return f"it is in {held.currency} and the order is in {currency}"
        case State.RESERVED:
            return f"it is set aside for order {held.order_id}"
        case State.REDEEMED:
            return f"it was used for order {held.order_id}"
        case State.EXPIRED:
            return f"it ended at {held.expire_time}"
        case State.WITHDRAWN:
            return "it ended with the tier"


def usable(held: Sequence[Entitlement], currency: str, now: datetime) -> list[Usable]:
    """Those that can be used for an order in a currency now, in the given order."""
    return [
        Usable(str(one.entitlement_id), one.benefit_id, one.name, one.terms())
        for one in held
        if not why_not_usable(one, currency, now)
    ]
