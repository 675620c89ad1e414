"""What an order costs with the benefits of a member, and why (BN-04)."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PercentOff:
    """A percentage off every order: 12.5 % has percent_e2 1250."""

    percent: str
    percent_e2: int


@dataclass(frozen=True, slots=True)
class AmountOff:
    """An amount off one order, from a least amount of the order before any discount."""

    amount_minor: int
    order_min_minor: int


@dataclass(frozen=True, slots=True)
class Usable:
    """An entitlement that its member could use now."""

    entitlement_id: str
    benefit_id: str
    name: str
    kind: PercentOff | AmountOff


@dataclass(frozen=True, slots=True)
class Coupon:
    """A usable entitlement that is a coupon."""

    usable: Usable
    kind: AmountOff


@dataclass(frozen=True, slots=True)
class Effect:
    """What one entitlement takes off an order; nothing where it does not apply.

    What is `reusable` is good for every order, all else for one.
    """

    entitlement_id: str
    benefit_id: str
    name: str
    applies: bool
    discount_minor: int
    reason: str
    reusable: bool


@dataclass(frozen=True, slots=True)
class Priced:
    """The effects in the order applied, those that do not apply last, and what is left to pay."""

    effects: tuple[Effect, ...]
    due_minor: int


def price(order_minor: int, usable: Sequence[Usable], wanted: Sequence[str]) -> Priced:
    """Prices an order: the best tier discount first, then coupons off what is left.

    The coupons are those in `wanted`, in that order; where it is empty, the one that takes off the
    most, of equals the first in `usable`. An id in `wanted` that is not usable has an effect, too.
    """
    discounts = [(u, u.kind) for u in usable if isinstance(u.kind, PercentOff)]
    coupons = [Coupon(u, u.kind) for u in usable if isinstance(u.kind, AmountOff)]
    effects, left = _discount(order_minor, discounts)
    if wanted:
        more, left = _wanted_coupons(order_minor, left, coupons, wanted)
        known = {u.entitlement_id for u in usable}
        more += [
            _missing(entitlement_id) for entitlement_id in wanted if entitlement_id not in known
        ]
    else:
        more, left = _best_coupon(order_minor, left, coupons)
    effects += more
    # sorted() is stable: those that apply stay in the order applied.
    return Priced(tuple(sorted(effects, key=lambda effect: not effect.applies)), left)


def _discount(
    order_minor: int, discounts: Sequence[tuple[Usable, PercentOff]]
) -> tuple[list[Effect], int]:
    amounts = [(_percent_of(order_minor, kind), usable) for usable, kind in discounts]
    best = max(amounts, key=lambda pair: pair[0], default=None)
    effects: list[Effect] = []
    left = order_minor
    for amount, discount in amounts:
        if best is not None and discount is not best[1]:
            effects.append(_refuse(discount, f"{best[1].name} takes off more or as much"))
        elif not amount:
            effects.append(_refuse(discount, "there is nothing to take off"))
        else:
            left -= amount
            effects.append(_apply(discount, amount, "the tier's discount applies to every order"))
    return effects, left


def _percent_of(amount_minor: int, kind: PercentOff) -> int:
    """Returns the percentage of an amount, half a minor unit rounded up."""
    return (2 * amount_minor * kind.percent_e2 + 10_000) // 20_000


def _wanted_coupons(
    order_minor: int, left: int, coupons: Sequence[Coupon], wanted: Sequence[str]
) -> tuple[list[Effect], int]:
    by_id = {coupon.usable.entitlement_id: coupon for coupon in coupons}
    effects: list[Effect] = []
    for entitlement_id in wanted:
        coupon = by_id.pop(entitlement_id, None)
        if coupon is not None:
            effect = _coupon(order_minor, left, coupon)
            left -= effect.discount_minor
            effects.append(effect)
    effects += [_refuse(coupon.usable, "other coupons were chosen") for coupon in by_id.values()]
    return effects, left


def _best_coupon(
    order_minor: int, left: int, coupons: Sequence[Coupon]
) -> tuple[list[Effect], int]:
    effects = [_coupon(order_minor, left, coupon) for coupon in coupons]
    if not any(effect.applies for effect in effects):
        return effects, left
    # max() keeps the first of equals.
    best = max(effects, key=lambda effect: effect.discount_minor)
    others = [
        _refuse(coupon.usable, f"{best.name} takes off more or as much")
        if effect.applies
        else effect
        for coupon, effect in zip(coupons, effects, strict=True)
        if effect is not best
    ]
    return [best, *others], left - best.discount_minor


def _coupon(order_minor: int, left: int, coupon: Coupon) -> Effect:
    usable, kind = coupon.usable, coupon.kind
    if order_minor < kind.order_min_minor:
        return _refuse(usable, "the order is below the coupon's least amount")
    if left <= 0:
        return _refuse(usable, "there is nothing left to take off")
    if kind.amount_minor > left:
        return _apply(usable, left, "it takes off all that is left")
    return _apply(usable, kind.amount_minor, "the order reaches the coupon's least amount")


def _apply(usable: Usable, amount: int, reason: str) -> Effect:
    return _effect(usable, True, amount, reason)


def _refuse(usable: Usable, reason: str) -> Effect:
    return _effect(usable, False, 0, reason)


def _effect(usable: Usable, applies: bool, amount: int, reason: str) -> Effect:
    reusable = isinstance(usable.kind, PercentOff)
    return Effect(
        usable.entitlement_id, usable.benefit_id, usable.name, applies, amount, reason, reusable
    )


def _missing(entitlement_id: str) -> Effect:
    reason = "the member cannot use it: it is unknown, used, reserved or has ended"
    return Effect(entitlement_id, "", "", False, 0, reason, False)
