"""How many points a purchase earns, line by line (PT-01, PT-05)."""

from collections.abc import Collection, Sequence
from functools import lru_cache
from typing import NamedTuple

from rules.compiled import CompiledProgram
from rules.earn_rules import Earning, Purchase
from rules.money import decimal_text
from rules.values import EarnRule, Rounding, Tier

POINTS_MAX = 10**15
MULTIPLIER_STEP = "tier_multiplier"
ROUNDING_STEP = "rounding"
STEPS = frozenset({MULTIPLIER_STEP, ROUNDING_STEP, "debt_repaid"})

_ROUNDING_REASONS = {
    Rounding.HALF_UP: "to whole points, a half up",
    Rounding.DOWN: "down to whole points",
}
_CONDITION_FALSE = "its condition does not hold"
_ONE_E4 = 10**4
_HELD = {True: "1", False: "0", None: "-"}
_HOLDS = {text: holding for holding, text in _HELD.items()}


class PointsOutOfRange(ValueError):
    """A purchase would earn more points than the ledger can count."""

    def __init__(self, points: int) -> None:
        super().__init__(f"{points} points are more than {POINTS_MAX}")
        self.points = points
        self.points_max = POINTS_MAX


class Line(NamedTuple):
    """One step of an explanation; factor and points are decimals as text."""

    rule: str
    applied: bool
    factor: str
    points: str
    reason: str


class Earned(NamedTuple):
    """Whole points and the lines that add up to them exactly."""

    points: int
    lines: tuple[Line, ...]


def earn(purchase: Purchase, tier: Tier | None, program: CompiledProgram) -> Earned:
    """Returns the points of a purchase for a member of `tier`, None when it is not known.

    sum over rules of amount * points_per_unit * (multiplier where the rule takes it), exact,
    rounded once at the end. Raises PointsOutOfRange.
    """
    return _settle(purchase.amount_minor, _holds(purchase, tier, program.earning), tier, program)


class Rate(NamedTuple):
    """What the rules that held give together for a member of one tier: all that has to be kept of a
    decision, since the rest is arithmetic (see `earned_at_rate`).
    """

    tier_id: str
    """Empty when it was not known."""
    held: str
    """One character for each rule: 1 it held, 0 it did not, - it could not be evaluated."""
    numerator: int
    denominator: int
    rounding: Rounding

    def points(self, amount_minor: int) -> int:
        """Returns the points of an amount, rounded once; raises PointsOutOfRange."""
        return _rounded(amount_minor * self.numerator, self.denominator, self.rounding)


def rate_of(purchase: Purchase, tier_id: str, program: CompiledProgram) -> Rate:
    """Returns the rate that a purchase earns at; `rate.points(amount)` is what `earn` gives.

    `tier_id` is empty when the tier is not known.
    """
    earning = program.earning
    if not earning.conditional:
        return _rate(earning.always, tier_id, program)
    return _rate(tuple(_holds(purchase, program.counted_tier(tier_id), earning)), tier_id, program)


@lru_cache(maxsize=4096)
def _rate(holds: tuple[bool | None, ...], tier_id: str, program: CompiledProgram) -> Rate:
    earning, tier = program.earning, program.counted_tier(tier_id)
    factor_e4 = tier.multiplier_e4 if tier is not None else _ONE_E4
    numerator = sum(
        rule.per_unit_e6 * (factor_e4 if rule.tier_multiplier else _ONE_E4)
        for rule, holding in zip(earning.rules, holds, strict=True)
        if holding
    )
    held = "".join(_HELD[holding] for holding in holds)
    known_id = tier.id if tier is not None else ""
    return Rate(known_id, held, numerator, earning.unit * _ONE_E4, earning.rounding)


def earned_at_rate(
    amount_minor: int, held: str, tier: Tier | None, program: CompiledProgram
) -> Earned:
    """Returns what was earned at a rate, line by line, as `earn` gave it then."""
    return _settle(amount_minor, [_HOLDS[one] for one in held], tier, program)


def earned_after_return(
    amount_left_minor: int,
    applied_rules: Collection[str],
    tier: Tier | None,
    program: CompiledProgram,
) -> Earned:
    """Returns what a purchase earns for the part of it that was kept.

    `applied_rules`, `tier` and `program` are those that decided the purchase: what a rule found
    true then stays true. So the points never rise by a return, and what successive returns take
    back, each `before.points - after.points`, adds up to what was earned.
    """
    earning = program.earning
    holds = tuple(rule.name in applied_rules for rule in earning.rules)
    return _settle(amount_left_minor, holds, tier, program)


def _holds(purchase: Purchase, tier: Tier | None, earning: Earning) -> Sequence[bool | None]:
    if not earning.conditional:
        return earning.always
    tier_id = tier.id if tier is not None else ""
    values = {name: get(purchase, tier_id) for name, get in earning.getters}
    holds: list[bool | None] = list(earning.always)
    answers = earning.conditions.evaluate(values)
    for index, answer in zip(earning.conditional, answers, strict=True):
        holds[index] = answer
    return holds


def _settle(
    amount_minor: int, holds: Sequence[bool | None], tier: Tier | None, program: CompiledProgram
) -> Earned:
    earning = program.earning
    scale = 10**earning.minor_digits
    lines: list[Line] = []
    # Exact sums, in points times earning.unit.
    plain = multiplied = shown_e6 = 0
    multiplies = False
    for rule, holding in zip(earning.rules, holds, strict=True):
        if not holding:
            lines.append(_not_applied(rule, holding))
            continue
        part = amount_minor * rule.per_unit_e6
        if rule.tier_multiplier:
            multiplies = True
            multiplied += part
        else:
            plain += part
        part_e6 = part // scale
        shown_e6 += part_e6
        lines.append(Line(rule.name, True, rule.per_unit, decimal_text(part_e6, 6), rule.reason))
    factor_e4 = tier.multiplier_e4 if tier is not None else _ONE_E4
    if multiplies:
        part_e6 = multiplied * (factor_e4 - _ONE_E4) // (scale * _ONE_E4)
        shown_e6 += part_e6
        lines.append(_multiplier_line(tier, part_e6))
    total = plain * _ONE_E4 + multiplied * factor_e4
    points = _rounded(total, earning.unit * _ONE_E4, earning.rounding)
    # Lines show 6 decimals, cut off: the last one takes what they lack, so that they always add up.
    rest_e6 = points * 10**6 - shown_e6
    if rest_e6:
        reason = _ROUNDING_REASONS[earning.rounding]
        lines.append(Line(ROUNDING_STEP, True, "", decimal_text(rest_e6, 6), reason))
    return Earned(points, tuple(lines))


def _not_applied(rule: EarnRule, holding: bool | None) -> Line:
    reason = "its condition could not be evaluated" if holding is None else _CONDITION_FALSE
    return Line(rule.name, False, rule.per_unit, "0", reason)


def _multiplier_line(tier: Tier | None, part_e6: int) -> Line:
    if tier is None:
        return Line(MULTIPLIER_STEP, False, "", "0", "the member's tier is not known")
    reason = f"tier {tier.id} multiplies by {tier.multiplier}"
    return Line(MULTIPLIER_STEP, True, tier.multiplier, decimal_text(part_e6, 6), reason)


def _rounded(total: int, unit: int, rounding: Rounding) -> int:
    points = (2 * total + unit) // (2 * unit) if rounding is Rounding.HALF_UP else total // unit
    if points > POINTS_MAX:
        raise PointsOutOfRange(points)
    return points
