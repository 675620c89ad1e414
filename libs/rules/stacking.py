"""Coefficients on what a rule gives, step by step, each step with the points that it adds.

A rule gives a vector of exact points: one number for each part of the purchase, and at the end one
for what it gives for the event as a whole.
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal as Exact
from typing import NamedTuple

from rules.accrual_values import EXACT, AccrualRule, Coefficient, Group, Stacking
from rules.values import Tier

ONE = Exact(1)
Vector = list[Exact]


class Part(NamedTuple):
    """A part of a purchase: a line, or what no line is for."""

    amount_minor: int
    categories: frozenset[str]
    unit_price_minor: int | None


class Step(NamedTuple):
    """What one coefficient did: `points` are exact, and add up over all steps."""

    name: str
    applied: bool
    factor: str
    points: Exact
    reason: str


class Applied(NamedTuple):
    """A coefficient that was found to hold, for lines of these categories where it looks at them.

    None stands for all categories.
    """

    coefficient: Coefficient
    categories: frozenset[str] | None


def fits(applied: Applied, part: Part | None) -> bool:
    """Whether a coefficient multiplies a part; None is what the event gives as a whole."""
    coefficient, categories = applied
    if part is None:
        return not coefficient.by_line
    if categories is not None and not part.categories & categories:
        return False
    price = part.unit_price_minor
    if coefficient.price_min_minor is not None and (
        price is None or price < coefficient.price_min_minor
    ):
        return False
    return coefficient.price_below_minor is None or (
        price is not None and price < coefficient.price_below_minor
    )


def multiply(
    vector: Vector,
    parts: Sequence[Part],
    rule: AccrualRule,
    applied: Sequence[Applied],
    groups: Mapping[str, Group],
    tier: Tier | None,
) -> tuple[Vector, list[Step]]:
    """Applies the tier's factor, then the coefficients, those of a group together."""
    steps: list[Step] = []
    if rule.tier_multiplier:
        vector, step = _by_tier(vector, tier)
        steps.append(step)
    members: dict[str, list[Applied]] = {}
    for one in applied:
        name = one.coefficient.group or f":{one.coefficient.name}"
        members.setdefault(name, []).append(one)
    for together in members.values():
        group = groups[together[0].coefficient.group]
        vector, more = _by_group(vector, (*parts, None), group, together)
        steps += more
    return vector, steps


def _by_tier(vector: Vector, tier: Tier | None) -> tuple[Vector, Step]:
    name = "tier_multiplier"
    if tier is None:
        return vector, Step(name, False, "", Exact(0), "the member's tier is not known")
    factor = Exact(tier.multiplier)
    multiplied = [EXACT.multiply(points, factor) for points in vector]
    reason = f"tier {tier.id} multiplies by {tier.multiplier}"
    return multiplied, Step(name, True, tier.multiplier, _gain(vector, multiplied), reason)


def _by_group(
    vector: Vector, parts: Sequence[Part | None], group: Group, together: Sequence[Applied]
) -> tuple[Vector, list[Step]]:
    """One step for each coefficient, and one for what the limit of the group takes off."""
    factors = [ONE] * len(parts)
    steps: list[Step] = []
    best = [_best(together, part) for part in parts] if group.stacking is Stacking.BEST else []
    for one in together:
        coefficient = one.coefficient
        before = _times(vector, factors)
        for index, part in enumerate(parts):
            if not fits(one, part):
                continue
            if group.stacking is Stacking.MULTIPLY:
                factors[index] = EXACT.multiply(factors[index], coefficient.factor)
            elif group.stacking is Stacking.ADD:
                factors[index] = EXACT.add(factors[index], EXACT.subtract(coefficient.factor, ONE))
            elif best[index] is one:
                factors[index] = coefficient.factor
        steps.append(_step(one, parts, _gain(before, _times(vector, factors)), best))
    result = _times(vector, factors)
    if any(factor < 0 for factor in factors):
        # Once, after all of them: what they are written in turn must not matter.
        factors = [max(factor, Exact(0)) for factor in factors]
        none = _times(vector, factors)
        reason = f"{group.name} takes no more than there is"
        steps.append(Step(group.name, True, "0", _gain(result, none), reason))
        result = none
    if group.factor_max is not None and any(f > group.factor_max for f in factors):
        capped = _times(vector, [min(f, group.factor_max) for f in factors])
        reason = f"{group.name} multiplies by at most {group.factor_max}"
        factor = str(group.factor_max)
        steps.append(Step(group.name, True, factor, _gain(result, capped), reason))
        result = capped
    return result, steps


def _best(together: Sequence[Applied], part: Part | None) -> Applied | None:
    fitting = [one for one in together if fits(one, part)]
    return max(fitting, key=lambda one: one.coefficient.factor, default=None)


def _step(
    one: Applied, parts: Sequence[Part | None], points: Exact, best: Sequence[Applied | None]
) -> Step:
    coefficient = one.coefficient
    if best and one not in best:
        reason = f"another of {coefficient.group} is better"
        return Step(coefficient.name, False, coefficient.text, points, reason)
    if not any(fits(one, part) for part in parts):
        return Step(coefficient.name, False, coefficient.text, points, "no line is of that kind")
    reason = f"multiplies by {coefficient.text}"
    if coefficient.by_line:
        reason += ", for the lines it is for"
    return Step(coefficient.name, True, coefficient.text, points, reason)


def _times(vector: Vector, factors: Sequence[Exact]) -> Vector:
    return [EXACT.multiply(points, f) for points, f in zip(vector, factors, strict=True)]


def _gain(before: Vector, after: Vector) -> Exact:
    return EXACT.subtract(total(after), total(before))


def total(vector: Sequence[Exact]) -> Exact:
    """The exact sum."""
    result = Exact(0)
    for points in vector:
        result = EXACT.add(result, points)
    return result
