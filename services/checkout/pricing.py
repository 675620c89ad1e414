"""What a cart costs: discounts, points, cash, and what the cash will earn (CK-01, PT-10)."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from kit.errors import AmountInvalid
from kit.money import MINOR_MAX
from rules.accrual import expected
from rules.accrual_values import OrderLine
from rules.compiled import CompiledProgram
from rules.earn_rules import Purchase
from rules.earning import PointsOutOfRange
from rules.redemption import NO_BOOST, Boost, quote


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a cart; the price is that of one, in minor units."""

    line_id: str
    category: str
    quantity: int
    unit_price_minor: int
    refunded_quantity: int = 0

    @property
    def amount_minor(self) -> int:
        """What the line costs before any discount."""
        return self.quantity * self.unit_price_minor


@dataclass(frozen=True, slots=True)
class Effect:
    """What the benefits service says of one entitlement."""

    entitlement_id: str
    benefit_id: str
    name: str
    applies: bool
    discount_minor: int
    reason: str
    reusable: bool = False
    """Whether it is good for every order; kept nowhere: a quote has the ids of what it uses up."""


@dataclass(frozen=True, slots=True)
class Cart:
    """What is to be paid, and how the member would like to."""

    member_id: str
    order_id: str
    lines: tuple[Line, ...]
    lines_minor: int
    points_wanted: int
    entitlement_ids: tuple[str, ...]
    channel: str
    store: str
    origin: bytes

    @property
    def categories(self) -> tuple[str, ...]:
        """The categories in the cart, each once, as they come."""
        return tuple(dict.fromkeys(line.category for line in self.lines if line.category))


@dataclass(frozen=True, slots=True)
class Standing:
    """What the other services know that bears on a price."""

    effects: tuple[Effect, ...]
    active_points: int
    tier_id: str
    boost: Boost = NO_BOOST
    """What a promotion window makes worth more for this member, as points says."""


@dataclass(frozen=True, slots=True)
class Price:
    """What a cart costs; lines_minor - discounts = points_minor + cash_minor."""

    lines_minor: int
    discounts: tuple[Effect, ...]
    coupon_ids: tuple[str, ...]
    points_max: int
    points: int
    points_minor: int
    cash_minor: int
    points_to_earn: int
    program_version: int
    boosted_points: int
    promotion_window: str
    earns_by_line: bool
    """Whether the program's rules look at the lines of what the cash pays."""

    @property
    def discount_minor(self) -> int:
        """What all benefits take off together."""
        return sum(effect.discount_minor for effect in self.discounts)


def sum_lines(lines: Sequence[Line]) -> int:
    """The sum of a cart's lines in minor units; raises AmountInvalid above 10^15."""
    total = sum(line.amount_minor for line in lines)
    if total > MINOR_MAX:
        problem = (
            f"the lines sum up to {total} minor units; at most {MINOR_MAX} can be paid at once"
        )
        raise AmountInvalid("lines", problem=problem)
    return total


def price(cart: Cart, standing: Standing, program: CompiledProgram, at: datetime) -> Price:
    """Prices a cart: discounts first, then points as wanted and allowed, cash for the rest.

    Raises AmountInvalid when the cash would earn more points than the ledger can count.
    """
    off = sum(effect.discount_minor for effect in standing.effects)
    if not 0 <= off <= cart.lines_minor:
        raise ValueError(f"benefits take {off} off an order of {cart.lines_minor} minor units")
    due_minor = cart.lines_minor - off
    split = quote(due_minor, cart.points_wanted, standing.active_points, program, standing.boost)
    return Price(
        lines_minor=cart.lines_minor,
        discounts=standing.effects,
        coupon_ids=tuple(
            effect.entitlement_id
            for effect in standing.effects
            if effect.applies and not effect.reusable
        ),
        points_max=split.points_max,
        points=split.points,
        points_minor=split.points_minor,
        cash_minor=split.cash_minor,
        points_to_earn=_points_to_earn(cart, split.cash_minor, standing.tier_id, program, at),
        program_version=program.version,
        boosted_points=split.boosted,
        promotion_window=standing.boost.window if split.boosted else "",
        earns_by_line=not program.accrual.plain_purchases,
    )


def paid_by_line(lines: Sequence[Line], paid_minor: int) -> tuple[int, ...]:
    """What each line of a cart has of an amount that was paid, in proportion to its price.

    Of sums, not of each: the parts then add up.
    """
    total = sum(line.amount_minor for line in lines)
    parts, amount, before = [], 0, 0
    for line in lines:
        amount += line.amount_minor
        upto = paid_minor * amount // total if total else 0
        parts.append(upto - before)
        before = upto
    return tuple(parts)


def _points_to_earn(
    cart: Cart, cash_minor: int, tier_id: str, program: CompiledProgram, at: datetime
) -> int:
    if not cash_minor:
        return 0
    purchase = Purchase(cash_minor, cart.categories, cart.channel, cart.store)
    lines: tuple[OrderLine, ...] = ()
    if not program.accrual.plain_purchases:
        paid = zip(cart.lines, paid_by_line(cart.lines, cash_minor), strict=True)
        lines = tuple(
            OrderLine(one.line_id, one.category, "", one.quantity, one.unit_price_minor, minor)
            for one, minor in paid
        )
    try:
        return expected(purchase, at, program.counted_tier(tier_id), program, lines)
    except PointsOutOfRange as error:
        raise AmountInvalid(
            "lines", problem=f"the cart would earn {error}; give a smaller one"
        ) from None
