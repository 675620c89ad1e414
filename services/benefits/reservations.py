"""Pricing an order and setting entitlements aside for it (BN-04, BN-05)."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import Enum
from uuid import UUID

from benefits.entitlements import Entitlement, usable, why_not_usable
from benefits.errors import EntitlementNotApplicable, EntitlementNotAvailable, EntitlementNotFound
from rules.benefits import Effect, Priced, price
from rules.compiled import CompiledProgram
from rules.money import decimal_text


class ReservationState(Enum):
    """Where a reservation stands."""

    OPEN = "OPEN"
    REDEEMED = "REDEEMED"
    RELEASED = "RELEASED"


@dataclass(frozen=True, slots=True)
class Order:
    """An order to be priced: its amount before any discount, and the entitlements named for it."""

    member_id: str
    order_id: str
    amount_minor: int
    wanted: tuple[str, ...]
    program: CompiledProgram


@dataclass(frozen=True, slots=True)
class Item:
    """An entitlement in a reservation, with the discount that was promised for it."""

    entitlement_id: UUID
    benefit_id: str
    single_use: bool
    discount_minor: int


@dataclass(frozen=True, slots=True)
class Reservation:
    """Entitlements set aside for an order."""

    member_id: str
    reservation_id: UUID
    order_id: str
    state: ReservationState
    order_amount_minor: int
    currency: str
    currency_digits: int
    expire_time: datetime
    program_version: int
    items: tuple[Item, ...]


def wanted_uuids(order: Order) -> list[UUID]:
    """The ids that an order names; what is no id of ours is left out."""
    return [found for text in order.wanted if (found := parse_uuid(text)) is not None]


def parse_uuid(text: str) -> UUID | None:
    """The UUID in a caller's id, None where it is none of ours."""
    try:
        return UUID(text)
    except ValueError:
        return None


def evaluate(order: Order, held: Sequence[Entitlement], now: datetime) -> Priced:
    """Prices an order and says of each entitlement why it applies or not.

    `held` are those that can be used and those that were named, whatever became of them.
    """
    priced = price(order.amount_minor, usable(held, order.program.currency, now), order.wanted)
    by_id = {str(one.entitlement_id): one for one in held}
    effects = tuple(
        _explain(effect, by_id, order.program.currency, now) for effect in priced.effects
    )
    return Priced(effects, priced.due_minor)


def _explain(effect: Effect, held: dict[str, Entitlement], currency: str, now: datetime) -> Effect:
    one = held.get(effect.entitlement_id)
    if one is None:
        return effect
    why = why_not_usable(one, currency, now)
    return replace(effect, benefit_id=one.benefit_id, name=one.name, reason=why) if why else effect


def promise(order: Order, held: Sequence[Entitlement], now: datetime) -> tuple[Item, ...]:
    """What each named entitlement takes off the order, all of them or none.

    `held` are those that were named and the discounts of the tier: these come off first, whether
    named or not. Raises EntitlementNotFound, EntitlementNotAvailable or EntitlementNotApplicable.
    """
    by_id = {str(one.entitlement_id): one for one in held}
    for entitlement_id in order.wanted:
        if entitlement_id not in by_id:
            raise EntitlementNotFound(member_id=order.member_id, entitlement_id=entitlement_id)
        why = why_not_usable(by_id[entitlement_id], order.program.currency, now)
        if why:
            raise EntitlementNotAvailable(entitlement_id=entitlement_id, why=why)
    priced = price(order.amount_minor, usable(held, order.program.currency, now), order.wanted)
    effects = {effect.entitlement_id: effect for effect in priced.effects}
    return tuple(_item(order, by_id[one], effects[one]) for one in order.wanted)


def _item(order: Order, held: Entitlement, effect: Effect) -> Item:
    if not effect.applies:
        amount = decimal_text(order.amount_minor, order.program.minor_digits)
        raise EntitlementNotApplicable(
            entitlement_id=effect.entitlement_id,
            order_amount=f"{amount} {order.program.currency}",
            why=effect.reason,
        )
    return Item(held.entitlement_id, held.benefit_id, held.single_use, effect.discount_minor)
