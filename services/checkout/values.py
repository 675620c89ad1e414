"""A checkout as it is shown."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from checkout.pricing import Effect, Line
from checkout.saga import State


@dataclass(frozen=True, slots=True)
class Refund:
    """A refund, with the quantities that went back by the line's place in the cart."""

    number: int
    refund_id: UUID
    cash_minor: int
    points: int
    reversed_points: int
    complete: bool
    create_time: datetime
    quantities: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Checkout:
    """A checkout with all that belongs to it; amounts in minor units."""

    checkout_id: UUID
    member_id: str
    order_id: str
    state: State
    currency: str
    currency_digits: int
    program_version: int
    lines_minor: int
    points_max: int
    points: int
    points_minor: int
    cash_minor: int
    points_to_earn: int
    hold_id: str
    reservation_id: str
    accrual_id: str
    failure_reason: str
    create_time: datetime
    update_time: datetime
    expire_time: datetime
    boosted_points: int
    promotion_window: str
    lines: tuple[Line, ...]
    discounts: tuple[Effect, ...]
    refunds: tuple[Refund, ...]


@dataclass(frozen=True, slots=True)
class Quote:
    """What is kept of a quote besides its cart and price."""

    checkout_id: UUID
    currency: str
    currency_digits: int
    hold_minutes: int
    create_time: datetime
    expire_time: datetime
